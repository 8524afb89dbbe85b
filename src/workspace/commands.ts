/** The commands that run in one workspace: numbered, logged, ended with it. */
import { PyroError } from "../contract/error.ts";
import { type LoggedCommand, WORKSPACE_PATH } from "../contract/workspace.ts";
import { withDeadline } from "../host/deadline.ts";
import type { Exec, ExecOutcome, ExecRequest, KeptExec, OpenMachine } from "../machine/machine.ts";
import type { CalledCommands } from "./called-commands.ts";
import type { CommandLog } from "./command-log.ts";
import { type DetachedCommand, DetachedCommands, type DetachedNote, keepRequest } from "./detached.ts";
import { KeptOutput } from "./kept-output.ts";
import type { LeftDetached } from "./orphans.ts";

const SIGTERM = 15;
const SIGKILL = 9;
/** What ends with its machine is killed. */
const KILLED: ExecOutcome = { exitCode: 137, signal: 9, timedOut: false, outOfMemory: false, durationMs: 0 };
/** The end of a command that was ended is written to the log: a file of this host. */
const LOGGED_DEADLINE_MS = 2000;

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

/** A command that is shown as `text`. `wasStopped` says whether its machine was ended on purpose. */
interface Shown {
  readonly text: string;
  readonly wasStopped: () => boolean;
}

type Called = Pick<LoggedCommand, "sequence" | "command" | "cwd">;

/** A command that runs, and what is to be known at its end. */
interface Followed {
  readonly called: Called;
  readonly kept: KeptOutput;
  readonly isDetached: boolean;
  /** Its end is in the log. */
  readonly isLogged: boolean;
  readonly wasStopped: () => boolean;
}

export class Commands {
  readonly detached = new DetachedCommands();
  readonly #log: CommandLog;
  readonly #called: CalledCommands;
  readonly #events: CommandEvents;
  readonly #running = new Set<Exec>();
  /** What is being written of those that have ended. */
  readonly #recording = new Set<Promise<void>>();
  /** Whether they are being ended with their machine. */
  #ending = false;
  #left = false;

  constructor({ log, called }: { log: CommandLog; called: CalledCommands }, events: CommandEvents) {
    this.#log = log;
    this.#called = called;
    this.#events = events;
  }

  get count(): number {
    return this.#running.size;
  }

  /** A machine whose next command is this one; `sequence` is its number. */
  next(machine: OpenMachine, shown: Shown): { machine: CommandMachine; sequence: number } {
    this.#ending = false;
    const sequence = this.#events.number();
    const exec = (request: ExecRequest): Exec => this.#start(machine, request, { ...shown, sequence });
    return { machine: { ...machine, exec }, sequence };
  }

  /** Starts a command that nobody waits for. `started` settles when the guest has it. */
  detach(
    machine: OpenMachine,
    request: Omit<ExecRequest, "stdin" | "onOutput">,
    shown: Shown,
  ): { command: DetachedCommand; started: Promise<void> } {
    const { machine: next, sequence } = this.next(machine, shown);
    const note: DetachedNote = {
      sequence,
      command: shown.text,
      cwd: request.cwd,
      startedAt: new Date().toISOString(),
    };
    const exec = next.exec({ ...request, stdin: undefined, onOutput: () => undefined, keep: keepRequest(note) });
    // Whoever comes back for it hears of it by its end.
    exec.outcome.catch(() => undefined);
    const kept = underStop(machine.kept(exec.id), shown.wasStopped);
    return { command: this.detached.add(note, kept, exec.outcome), started: exec.started };
  }

  /** Goes on with a detached command that a server before has started. */
  adopt(machine: OpenMachine, { execId: id, note, isLogged }: LeftDetached, wasStopped: () => boolean): void {
    const kept = machine.kept(id);
    const output = new KeptOutput();
    const outcome = kept
      .attach({
        onOutput: (stream, data) => output.add(stream, data),
        onDropped: (stream, bytes) => output.drop(stream, bytes),
        signal: new AbortController().signal,
      })
      // What it left behind ends with it; the machine may be gone already.
      .finally(() => void kept.signal(SIGKILL).catch(() => undefined));
    outcome.catch(() => undefined);
    const resize = async (): Promise<boolean> => await Promise.resolve(false);
    const exec = { id, started: Promise.resolve(), signal: kept.signal, resize, outcome };
    const { sequence, command, cwd } = note;
    const called = { sequence, command, cwd };
    const followed = this.#follow(exec, { called, kept: output, isDetached: true, isLogged, wasStopped });
    followed.outcome.catch(() => undefined);
    this.detached.add(note, underStop(kept, wasStopped), followed.outcome);
  }

  /** Asks every command to end and waits for that, for a bounded time. */
  async end(graceMs: number): Promise<void> {
    this.#ending = true;
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

  /** Waits until what ended with its machine is in the log, for a bounded time. */
  async logged(): Promise<void> {
    const written = (async () => {
      await Promise.allSettled([...this.#running].map(async ({ outcome }) => await outcome));
      await Promise.allSettled(this.#recording);
    })();
    await withDeadline(
      written,
      LOGGED_DEADLINE_MS,
      () => new PyroError("deadline_exceeded", "not logged in time"),
    ).catch((failure: unknown) => this.#events.onNotice(PyroError.from(failure).message));
    this.detached.clear();
  }

  #start(
    machine: OpenMachine,
    request: ExecRequest,
    { text, sequence, wasStopped }: Shown & { readonly sequence: number },
  ): Exec {
    const kept = new KeptOutput();
    const exec = machine.exec({
      ...request,
      onOutput: (stream, data) => {
        kept.add(stream, data);
        return request.onOutput(stream, data);
      },
      onDropped: (stream, bytes) => kept.drop(stream, bytes),
    });
    const called = { sequence, command: text, cwd: request.cwd === "" ? WORKSPACE_PATH : request.cwd };
    const isDetached = request.keep !== undefined;
    this.#called.add({ ...called, exec_id: exec.id }, this.#running.size === 0);
    return this.#follow(exec, { called, kept, isDetached, isLogged: false, wasStopped });
  }

  #follow(exec: Exec, { called, kept, isDetached, isLogged, wasStopped }: Followed): Exec {
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
    let hasStarted = false;
    exec.started.then(() => (hasStarted = true)).catch(() => undefined);
    const record = (ended: ExecOutcome, interrupted: string | undefined): void => {
      if (isLogged) return;
      this.#record({ ...called, ...kept.logged(ended), ...(interrupted === undefined ? {} : { interrupted }) });
    };
    outcome.then(
      (ended) => record(ended, isDetached && this.#ending ? "the workspace was stopped" : undefined),
      (failure: unknown) => {
        // Otherwise it is told to whoever waits for the command; one that goes on with the next server has not ended.
        if (!isDetached || !hasStarted || this.#left) return;
        record(KILLED, wasStopped() ? "the workspace was stopped" : PyroError.from(failure).message);
      },
    );
    return { ...exec, outcome };
  }

  /** Its machine goes on without this server, and what runs in it. */
  leave(): void {
    this.#left = true;
  }

  #record(entry: LoggedCommand): void {
    const written = this.#log.add(entry).catch((failure: unknown) => {
      // The command ran, and its caller has its output.
      this.#events.onNotice(`a command was not logged: ${PyroError.from(failure).message}`);
    });
    this.#recording.add(written);
    void written.then(() => this.#recording.delete(written));
  }
}

/** Readers are told of a stop as such. */
function underStop(kept: KeptExec, wasStopped: () => boolean): KeptExec {
  const explained = async <T>(work: Promise<T>): Promise<T> =>
    await work.catch((failure: unknown) => {
      throw wasStopped() ? stoppedUnder(failure) : failure;
    });
  return {
    ...kept,
    attach: async (reader) => await explained(kept.attach(reader)),
    readSoFar: async (reader) => await explained(kept.readSoFar(reader)),
  };
}

function stoppedUnder(cause: unknown): PyroError {
  return new PyroError("invalid_state", "the workspace was stopped while the command ran", {
    cause,
    remedy: "start it again with `pyro workspace start`; its files are there, and what the command had done so far",
  });
}
