/** Why the server did nothing for a request, so that it may be sent again. Never leaves the SDK. */
export class NotDone extends Error {
  override readonly name = "NotDone";
  /** absent: nobody listens, or who listened ended before it began; version: it speaks another version. */
  readonly reason: "absent" | "version";
  readonly serverVersion: string | undefined;

  constructor(reason: "absent" | "version", options: { serverVersion?: string; cause?: unknown } = {}) {
    super(`the server did nothing: ${reason}`, { cause: options.cause });
    this.reason = reason;
    this.serverVersion = options.serverVersion;
  }
}
