/** absent: nobody listens, or who listened ended before it began; version, settings: it has others than this client. */
type Reason = "absent" | "version" | "settings";

/** Why the server did nothing for a request, so that it may be sent again. Never leaves the SDK. */
export class NotDone extends Error {
  override readonly name = "NotDone";
  readonly reason: Reason;
  /** The server's version, where that is the reason. */
  readonly serverVersion: string | undefined;
  /** Digest of the server's settings, where these are the reason. */
  readonly serverSettings: string | undefined;

  constructor(reason: Reason, options: { serverVersion?: string; serverSettings?: string; cause?: unknown } = {}) {
    super(`the server did nothing: ${reason}`, { cause: options.cause });
    this.reason = reason;
    this.serverVersion = options.serverVersion;
    this.serverSettings = options.serverSettings;
  }
}

/** Whether a request failed because there was no server for it. */
export const isAbsent = (failure: unknown): boolean => failure instanceof NotDone && failure.reason === "absent";
