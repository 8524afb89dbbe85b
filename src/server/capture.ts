import { isUtf8 } from "node:buffer";
import { CAPTURE_BYTES_MAX } from "../contract/limits.ts";
import type { OutputStream } from "../contract/stream-frames.ts";

interface CapturedStream {
  readonly pieces: Uint8Array[];
  keptBytes: number;
  droppedBytes: number;
}

/** A command's output for a buffered result: the first CAPTURE_BYTES_MAX of each stream, the rest counted. */
export class Capture {
  readonly #streams: Record<OutputStream, CapturedStream> = { stdout: empty(), stderr: empty() };

  add(stream: OutputStream, data: Uint8Array): void {
    const captured = this.#streams[stream];
    const kept = data.subarray(0, CAPTURE_BYTES_MAX - captured.keptBytes);
    // Copied: what the link gave is a view of a buffer that may be much larger, or used again.
    if (kept.length > 0) captured.pieces.push(Uint8Array.from(kept));
    captured.keptBytes += kept.length;
    captured.droppedBytes += data.length - kept.length;
  }

  /** Counts bytes that were lost before they came here. */
  drop(stream: OutputStream, bytes: number): void {
    this.#streams[stream].droppedBytes += bytes;
  }

  /** The output as the fields of a result. */
  fields(): {
    stdout: string;
    stderr: string;
    stdout_base64?: string;
    stderr_base64?: string;
    stdout_dropped_bytes: number;
    stderr_dropped_bytes: number;
  } {
    const stdout = textOf(this.#streams.stdout);
    const stderr = textOf(this.#streams.stderr);
    return {
      stdout: stdout.text,
      stderr: stderr.text,
      ...(stdout.base64 === undefined ? {} : { stdout_base64: stdout.base64 }),
      ...(stderr.base64 === undefined ? {} : { stderr_base64: stderr.base64 }),
      stdout_dropped_bytes: this.#streams.stdout.droppedBytes,
      stderr_dropped_bytes: this.#streams.stderr.droppedBytes,
    };
  }
}

function empty(): CapturedStream {
  return { pieces: [], keptBytes: 0, droppedBytes: 0 };
}

function textOf(captured: CapturedStream): { text: string; base64: string | undefined } {
  const bytes = Buffer.concat(captured.pieces);
  return { text: bytes.toString("utf8"), base64: isUtf8(bytes) ? undefined : bytes.toString("base64") };
}
