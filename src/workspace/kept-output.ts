/** What the log keeps of a command's output. */
import type { LoggedCommand } from "../contract/workspace.ts";
import type { ExecOutcome } from "../machine/machine.ts";

/** What is kept of each stream of a command: its first bytes. */
const LOGGED_BYTES_MAX = 64 * 1024;

export class KeptOutput {
  readonly #streams = { stdout: new Kept(), stderr: new Kept() };

  add(stream: "stdout" | "stderr", data: Uint8Array): void {
    this.#streams[stream].add(data);
  }

  /** Counts bytes that nobody has any more. */
  drop(stream: "stdout" | "stderr", bytes: number): void {
    this.#streams[stream].droppedBytes += bytes;
  }

  /** The part of a log's entry that is known when the command has ended. */
  logged(outcome: ExecOutcome): Omit<LoggedCommand, "sequence" | "command" | "cwd" | "interrupted"> {
    const { stdout, stderr } = this.#streams;
    return {
      exit_code: outcome.exitCode,
      duration_ms: outcome.durationMs,
      recorded_at: new Date().toISOString(),
      stdout: stdout.text(),
      stderr: stderr.text(),
      stdout_dropped_bytes: stdout.droppedBytes,
      stderr_dropped_bytes: stderr.droppedBytes,
    };
  }
}

/** The first bytes of a stream. */
class Kept {
  readonly #pieces: Uint8Array[] = [];
  #keptBytes = 0;
  droppedBytes = 0;

  add(data: Uint8Array): void {
    const kept = data.subarray(0, LOGGED_BYTES_MAX - this.#keptBytes);
    // Copied: what the link gave is a view of a buffer that is used again.
    if (kept.length > 0) this.#pieces.push(Uint8Array.from(kept));
    this.#keptBytes += kept.length;
    this.droppedBytes += data.length - kept.length;
  }

  text(): string {
    return Buffer.concat(this.#pieces).toString("utf8");
  }
}
