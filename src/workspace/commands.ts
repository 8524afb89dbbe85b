/** The commands that run in one workspace: numbered, logged, ended with it. */
import { PyroError } from "../contract/error.ts";
import { WORKSPACE_PATH } from "../contract/workspace.ts";
import { withDeadline } from "../host/deadline.ts";
import type { Exec, ExecOutcome, ExecRequest, OpenMachine } from "../machine/machine.ts";
import { type CommandLog, LOGGED_BYTES_MAX } from "./command-log.ts";

const SIGTERM = 15;

/** What a command needs of its machine. */
export type CommandMachine = Pick<
  OpenMachine,
  "id" | "environment" | "environmentVersion" | "executionMode" | "isolation" | "confinement" | "exec"
>;

export interface CommandEvents {
  /** The next command's number. */
  readonly number: () => number;
  /** A command began, or ended. */
  readonly onActivity: () => void;
  /** A command has ended, and may have left something in the guest's memory. */
  readonly onEnd: () => void;
  readonly onNotice: (notice: string) => void;
}

export class Commands {
  readonly #log: CommandLog;
  readonly #events: CommandEvents;
  readonly #running = new Set<Exec>();

  constructor(log: CommandLog, events: CommandEvents) {
    this.#log = log;
    this.#events = events;
  }

  get count(): number {
    return this.#running.size;
  }

  /**
   * A machine whose next command is this one: `text` is how it is shown, `sequence` its number. `wasStopped` says whether
   * the machine was ended on purpose.
   */
  next(machine: OpenMachine, text: string, wasStopped: () => boolean): { machine: CommandMachine; sequence: number } {
    const sequence = this.#events.number();
    const exec = (request: ExecRequest): Exec => this.#start(machine, request, { text, sequence, wasStopped });
    return { machine: { ...machine, exec }, sequence };
  }

  /** Asks every command to end and waits for that, for a bounded time. */
  async end(graceMs: number): Promise<void> {
    const running = [...this.#running];
    if (running.length === 0) return;
    const ended = Promise.allSettled(
      running.map(async (exec) => {
        await exec.signal(SIGTERM);
        await exec.outcome;
      }),
    );
    // Those that do not are killed with their machine.
    await withDeadline(ended, graceMs, () => new PyroError("deadline_exceeded", "commands go on")).catch(
      () => undefined,
    );
  }

  #start(
    machine: OpenMachine,
    request: ExecRequest,
    { text, sequence, wasStopped }: { text: string; sequence: number; wasStopped: () => boolean },
  ): Exec {
    const kept = { stdout: new Kept(), stderr: new Kept() };
    const exec = machine.exec({
      ...request,
      onOutput: (stream, data) => {
        kept[stream].add(data);
        return request.onOutput(stream, data);
      },
    });
    this.#running.add(exec);
    this.#events.onActivity();
    const outcome = exec.outcome
      .catch((failure: unknown) => {
        throw wasStopped() ? stoppedUnder(failure) : failure;
      })
      .finally(() => {
        this.#running.delete(exec);
        this.#events.onActivity();
        this.#events.onEnd();
      });
    outcome.then(
      (ended) => this.#record(request, ended, { text, sequence, kept }),
      // It is told to whoever waits for the command.
      () => undefined,
    );
    return { ...exec, outcome };
  }

  #record(
    request: ExecRequest,
    outcome: ExecOutcome,
    { text, sequence, kept }: { text: string; sequence: number; kept: Record<"stdout" | "stderr", Kept> },
  ): void {
    const entry = {
      sequence,
      command: text,
      cwd: request.cwd === "" ? WORKSPACE_PATH : request.cwd,
      exit_code: outcome.exitCode,
      duration_ms: outcome.durationMs,
      recorded_at: new Date().toISOString(),
      stdout: kept.stdout.text(),
      stderr: kept.stderr.text(),
      stdout_dropped_bytes: kept.stdout.droppedBytes,
      stderr_dropped_bytes: kept.stderr.droppedBytes,
    };
    this.#log.add(entry).catch((failure: unknown) => {
      // The command ran, and its caller has its output.
      this.#events.onNotice(`a command was not logged: ${PyroError.from(failure).message}`);
    });
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

function stoppedUnder(cause: unknown): PyroError {
  return new PyroError("invalid_state", "the workspace was stopped while the command ran", {
    cause,
    remedy: "start it again with `pyro workspace start`; its files are there, and what the command had done so far",
  });
}
