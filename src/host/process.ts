/** The only place where pyro starts programs on the host: its own tools, never anything of a guest or a user. */
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import { StringDecoder } from "node:string_decoder";
import { PyroError } from "../contract/error.ts";
import { isErrno } from "./files.ts";
import { Tail } from "./tail.ts";

/** Bytes kept of each captured stream: enough for an error, bounded whatever the program prints. */
const CAPTURE_BYTES_MAX = 1024 * 1024;
/** How long a program has to end after SIGTERM before SIGKILL. */
const TERM_GRACE_MS = 3000;

export interface RunOptions {
  /** Milliseconds until the program is ended and `deadline_exceeded` is thrown. */
  deadlineMs: number;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  signal?: AbortSignal;
  input?: Uint8Array | string;
  /** Called with each piece of stderr as it comes. */
  onStderr?: (text: string) => void;
}

export interface Ended {
  /** Exit status, or null when a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end and gives its outcome; throws only when it could not be run, hung, or was cancelled. */
export async function runProgram(file: string, args: readonly string[], options: RunOptions): Promise<Ended> {
  const child = startProgram(file, args, { ...options, stdio: ["pipe", "pipe", "pipe"] });
  const stdout = captureTail(child.stdout);
  const stderr = captureTail(child.stderr, options.onStderr);
  // A program that ends without reading its input is no failure of ours: its exit status tells.
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(options.input);
  const outcome = await ended(child, file, options);
  return { ...outcome, stdout: stdout(), stderr: stderr() };
}

/** Starts a program; `dependency_missing` arrives through its "error" event, typed by `ended`. */
export function startProgram(
  file: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string; stdio: StdioOptions; detached?: boolean },
): ChildProcess {
  return spawn(file, [...args], {
    stdio: options.stdio,
    detached: options.detached ?? false,
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
}

/** Waits for a started program, with a deadline and a way to cancel; ends it (TERM, then KILL) in both cases. */
export async function ended(
  child: ChildProcess,
  file: string,
  options: { deadlineMs: number; signal?: AbortSignal },
): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return await new Promise((resolve, reject) => {
    let failure: PyroError | undefined;
    let killTimer: NodeJS.Timeout | undefined;
    let exited = false;
    const stop = (why: PyroError): void => {
      failure ??= why;
      if (exited) return dropPipes(child);
      child.kill("SIGTERM");
      killTimer ??= setTimeout(() => child.kill("SIGKILL"), TERM_GRACE_MS);
    };
    const deadline = setTimeout(() => {
      stop(new PyroError("deadline_exceeded", `${file} did not end within ${options.deadlineMs} ms`));
    }, options.deadlineMs);
    const onAbort = (): void => stop(new PyroError("cancelled", `${file} was cancelled`));
    if (options.signal?.aborted === true) onAbort();
    options.signal?.addEventListener("abort", onAbort, { once: true });
    const settle = (): void => {
      clearTimeout(deadline);
      clearTimeout(killTimer);
      options.signal?.removeEventListener("abort", onAbort);
    };
    child.once("error", (cause) => {
      settle();
      reject(startFailure(file, cause));
    });
    child.once("exit", () => {
      exited = true;
      if (failure !== undefined) dropPipes(child);
    });
    child.once("close", (code, signal) => {
      settle();
      if (failure === undefined) resolve({ code, signal });
      else reject(failure);
    });
  });
}

/** A descendant may hold the pipes open after the program has ended; whoever gave up does not wait for it. */
function dropPipes(child: ChildProcess): void {
  child.stdout?.destroy();
  child.stderr?.destroy();
}

/** The typed error for a program that could not be started. */
export function startFailure(file: string, cause: unknown): PyroError {
  if (isErrno(cause, "ENOENT")) {
    return new PyroError("dependency_missing", `${file} is not installed`, {
      cause,
      remedy: "run `pyro doctor` to see the command that installs it",
    });
  }
  if (isErrno(cause, "EACCES")) {
    return new PyroError("permission_denied", `${file} may not be executed`, { cause, remedy: `chmod +x '${file}'` });
  }
  return new PyroError("internal", `${file} could not be started`, { cause });
}

function captureTail(stream: NodeJS.ReadableStream | null, onText?: (text: string) => void): () => string {
  const tail = new Tail(CAPTURE_BYTES_MAX);
  // A character may lie across two chunks.
  const decoder = new StringDecoder();
  stream?.on("data", (chunk: Buffer) => {
    onText?.(decoder.write(chunk));
    tail.push(chunk);
  });
  return () => tail.text();
}
