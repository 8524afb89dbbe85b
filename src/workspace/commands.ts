/** The commands that run in one workspace: numbered, logged, ended with it. */
import { PyroError } from "../contract/error.ts";
import { type LoggedCommand, WORKSPACE_PATH } from "../contract/workspace.ts";
import { withDeadline } from "../host/deadline.ts";
import type { Exec, ExecOutcome, ExecRequest, OpenMachine } from "../machine/machine.ts";
import type { CalledCommands } from "./called-commands.ts";
import type { CommandLog } from "./command-log.ts";
import { KeptOutput } from "./kept-output.ts";

const SIGTERM = 15;

/** What a command needs of its machine. */
export type CommandMachine = Pick<
  OpenMachine,
  "id" | "environment" | "environmentVersion" | "executionMode" | "isolation" | "confinement" | "exec"
>;

type Called = Pick<LoggedCommand, "sequence" | "command" | "cwd">;

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
  readonly #called: CalledCommands;
  readonly #events: CommandEvents;
  readonly #running = new Set<Exec>();

  constructor({ log, called }: { log: CommandLog; called: CalledCommands }, events: CommandEvents) {
    this.#log = log;
    this.#called = called;
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
    const kept = new KeptOutput();
    const exec = machine.exec({
      ...request,
      onOutput: (stream, data) => {
        kept.add(stream, data);
        return request.onOutput(stream, data);
      },
    });
    const cwd = request.cwd === "" ? WORKSPACE_PATH : request.cwd;
    this.#called.add({ exec_id: exec.id, sequence, command: text, cwd }, this.#running.size === 0);
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
      (ended) => this.#record({ sequence, command: text, cwd }, ended, kept),
      // It is told to whoever waits for the command.
      () => undefined,
    );
    return { ...exec, outcome };
  }

  #record(call: Called, outcome: ExecOutcome, kept: KeptOutput): void {
    const entry = { ...call, ...kept.logged(outcome), orphaned: false };
    this.#log.add(entry).catch((failure: unknown) => {
      // The command ran, and its caller has its output.
      this.#events.onNotice(`a command was not logged: ${PyroError.from(failure).message}`);
    });
  }
}

function stoppedUnder(cause: unknown): PyroError {
  return new PyroError("invalid_state", "the workspace was stopped while the command ran", {
    cause,
    remedy: "start it again with `pyro workspace start`; its files are there, and what the command had done so far",
  });
}
