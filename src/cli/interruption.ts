/** What a person or the system says to this process while a command runs. */
import { PyroError } from "../contract/error.ts";

/** 128 + n, as a shell reports a process that signal n ended. */
const EXIT_STATUS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, SIGPIPE: 141 } as const;

export interface Interruption {
  /** Aborted when the call is to end. */
  readonly signal: AbortSignal;
  /** Exit status to end with, once `signal` is aborted. */
  readonly exitStatus: () => number;
  /** Gives the first SIGINT to `forward`; when that says no, it ends the call as later ones do. */
  readonly forwardFirstInterrupt: (forward: () => Promise<boolean>) => void;
}

/** Listens to SIGINT, SIGTERM, SIGHUP, and to a reader of our output that goes away. */
export function listenForInterruption(): Interruption {
  const controller = new AbortController();
  let status: number = EXIT_STATUS.SIGINT;
  let forward: (() => Promise<boolean>) | undefined;
  const end = (name: keyof typeof EXIT_STATUS): void => {
    if (controller.signal.aborted) return;
    status = EXIT_STATUS[name];
    controller.abort(new PyroError("cancelled", name === "SIGPIPE" ? "nobody reads the output" : `ended by ${name}`));
  };
  process.on("SIGINT", () => {
    const first = forward;
    forward = undefined;
    if (first === undefined) return end("SIGINT");
    first().then(
      (delivered) => void (delivered || end("SIGINT")),
      () => end("SIGINT"),
    );
  });
  process.on("SIGTERM", () => end("SIGTERM"));
  process.on("SIGHUP", () => end("SIGHUP"));
  for (const stream of [process.stdout, process.stderr]) {
    // EPIPE, or a terminal that is gone: there is nobody left to tell.
    stream.on("error", () => end("SIGPIPE"));
  }
  return {
    signal: controller.signal,
    exitStatus: () => status,
    forwardFirstInterrupt: (send) => (forward = send),
  };
}
