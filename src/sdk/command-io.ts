/** The bytes that go into a command and come out of it. */
import type { Readable, Writable } from "node:stream";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { PyroError } from "../contract/error.ts";
import type { TerminalSize } from "../contract/run.ts";
import { FrameReader, type OutputStream } from "../contract/stream-frames.ts";
import { streamOutputPath, streamStdinPath } from "../contract/wire.ts";
import type { Connection } from "./connection.ts";
import { NotDone } from "./not-done.ts";

/** The terminal that a command gets in the guest, of some size in characters. */
export interface TerminalIo extends TerminalSize {
  /**
   * Called once the command runs, with a function that changes the terminal's size (false: the command has ended). From
   * then on what is typed is the command's; what it shows comes when a promise that is returned has settled. Wants `stdout`.
   */
  readonly onOpen?: ((resize: (size: TerminalSize) => Promise<boolean>) => Promise<void> | void) | undefined;
}

/** Byte streams that a caller gives to a command. */
export interface CommandIo {
  /** Standard input; absent: none. Read only as far as the command takes it. */
  readonly stdin?: Readable | undefined;
  /** Takes standard output as it comes; it is not ended. With it or `stderr` the result holds no output. */
  readonly stdout?: Writable | undefined;
  /** As `stdout`. Of the two, what has no stream is dropped. */
  readonly stderr?: Writable | undefined;
  /** A terminal instead of three pipes: all output, its echo too, is standard output. Absent: none. */
  readonly terminal?: TerminalIo | undefined;
  /** Given a function that sends a Linux signal to the command, as soon as there is a command to send it to. */
  readonly onSignalable?: ((send: (signal: number) => Promise<boolean>) => void) | undefined;
}

/** The plumbing fields of a call for `io`, with a fresh id. */
export function plumbing(io: CommandIo): {
  stream_id: string;
  stdin: boolean;
  output: "result" | "stream";
  terminal?: TerminalSize;
} {
  const { terminal } = io;
  return {
    ...(terminal === undefined ? {} : { terminal: { columns: terminal.columns, rows: terminal.rows } }),
    stream_id: randomBytes(16).toString("hex"),
    stdin: io.stdin !== undefined,
    output: io.stdout === undefined && io.stderr === undefined ? "result" : "stream",
  };
}

/**
 * Opens the output of command `id` and writes it to the caller's streams, no faster than they take it. Settles when all
 * of it has been taken. `onBegun` is called at its first sign, which the server gives of a terminal when the command runs.
 */
export async function pumpOutput(
  connection: Connection,
  id: string,
  { io, signal, onBegun }: { io: CommandIo; signal: AbortSignal; onBegun: () => Promise<void> | void },
): Promise<void> {
  const response = await connection.send({ method: "GET", path: streamOutputPath(id), signal });
  if (response.statusCode !== 200)
    throw new PyroError("internal", `the server refused the output stream: status ${response.statusCode ?? 0}`);
  const frames = new FrameReader();
  const sinks: Record<OutputStream, Writable | undefined> = { stdout: io.stdout, stderr: io.stderr };
  let begun = false;
  for await (const piece of response as AsyncIterable<Buffer>) {
    if (!begun) await onBegun();
    begun = true;
    for (const { stream, data } of frames.read(piece)) {
      const sink = sinks[stream];
      if (sink === undefined || sink.write(data)) continue;
      await once(sink, "drain", { signal });
    }
  }
  if (!frames.atBoundary) throw new PyroError("protocol_mismatch", "the output ended within a frame");
}

/** Sends the caller's input to command `id` until it ends, or the command does not want more. */
export async function pumpInput(
  connection: Connection,
  id: string,
  { stdin, signal }: { stdin: Readable; signal: AbortSignal },
): Promise<void> {
  try {
    const response = await connection.send({ method: "PUT", path: streamStdinPath(id), body: stdin, signal });
    response.resume();
  } catch (failure) {
    // A command that ends without reading its input closes it; whether it should have is the command's own business.
    if (!(failure instanceof NotDone) && !PyroError.is(failure)) throw failure;
  } finally {
    stdin.unpipe();
  }
}
