import { type ErrorCode, PyroError } from "../contract/error.ts";
import type { ConfinementLevel, ExecResult, ExecutionMode, Isolation, MachineReady } from "../contract/run.ts";
import type { CommandIo } from "./command-io.ts";
import type { CommandInput, RunInput } from "./inputs.ts";
import type { CallOptions } from "./operation-types.ts";

/** What a command in an open machine may be given beside the command itself. */
export interface ExecOptions extends CommandInput, CallOptions, CommandIo {}

/** What closing fails with when the machine, or the server and with it the machine, ended before it was asked to. */
const GONE: ReadonlySet<ErrorCode> = new Set(["server_unavailable", "not_found"]);

/** How a `Machine` reaches its server. */
export interface MachineLink {
  readonly exec: (input: object, options: CallOptions & CommandIo) => Promise<ExecResult>;
  readonly close: (id: string) => Promise<unknown>;
  /** The call that holds the machine; it settles when the machine is gone. */
  readonly held: Promise<unknown>;
}

/** A machine that is yours until you close it, or your process ends. Use it with `await using`. */
export class Machine {
  /** 12 hexadecimal digits. */
  readonly id: string;
  readonly environment: string;
  readonly environmentVersion: string;
  readonly vcpuCount: number;
  readonly memoryMib: number;
  readonly executionMode: ExecutionMode;
  readonly isolation: Isolation;
  /** Whether the VMM has namespaces and a root of its own. */
  readonly confinement: ConfinementLevel;
  readonly #link: MachineLink;
  #lost: PyroError | undefined;
  #closing: Promise<void> | undefined;

  constructor(ready: MachineReady, link: MachineLink) {
    this.id = ready.vm_id;
    this.environment = ready.environment;
    this.environmentVersion = ready.environment_version;
    this.vcpuCount = ready.vcpu_count;
    this.memoryMib = ready.mem_mib;
    this.executionMode = ready.execution_mode;
    this.isolation = ready.isolation;
    this.confinement = ready.confinement;
    this.#link = link;
    link.held.catch((failure: unknown) => (this.#lost = PyroError.from(failure)));
  }

  /**
   * Runs one command; several may run at once. What the command does, its exit code included, is the result.
   * @throws PyroError when pyro or the machine failed
   */
  async exec(command: RunInput["command"], options: ExecOptions = {}): Promise<ExecResult> {
    if (this.#lost !== undefined) throw this.#lost;
    const { signal, onEvent, stdin, stdout, stderr, terminal, onSignalable, ...input } = options;
    return await this.#link.exec(
      { ...input, command, vm_id: this.id },
      { signal, onEvent, stdin, stdout, stderr, terminal, onSignalable },
    );
  }

  /** Ends the machine; settles when every trace of it is gone. Safe to call twice. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    // A machine that is gone already has nothing to close.
    if (this.#lost !== undefined) return;
    try {
      await this.#link.close(this.id);
    } catch (failure) {
      if (PyroError.is(failure) && GONE.has(failure.code)) return;
      throw failure;
    }
    // However it ended, it has.
    await this.#link.held.catch(() => undefined);
  }
}
