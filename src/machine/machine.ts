/** What the server works with: a machine that runs, configured, and answers commands. */
import type { ConfinementLevel, ExecutionMode, Isolation, MachineName } from "../contract/run.ts";
import type { PullProgress } from "../contract/environment.ts";
import type { PyroError } from "../contract/error.ts";
import type { MachineShape } from "../vmm/driver.ts";

/** A command as the guest gets it. */
export interface ExecRequest {
  readonly argv: readonly string[];
  /** Complete: nothing of the host's environment is added. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute path in the guest. */
  readonly cwd: string;
  /** Name or uid in the guest. */
  readonly user: string;
  readonly timeLimitMs: number;
  /** Standard input; undefined: /dev/null. */
  readonly stdin: AsyncIterable<Uint8Array> | undefined;
  /**
   * Takes output as it comes. The next piece is given only when the promise has settled: that is the backpressure which
   * reaches the guest's pipe.
   */
  readonly onOutput: (stream: "stdout" | "stderr", data: Uint8Array) => Promise<void> | void;
}

/** How a command ended: data, whatever it is. */
export interface ExecOutcome {
  readonly exitCode: number;
  readonly signal: number | null;
  readonly timedOut: boolean;
  readonly outOfMemory: boolean;
  readonly durationMs: number;
}

export interface Exec {
  /** Sends a Linux signal to the command's process group; false when it has ended. */
  signal(number: number): Promise<boolean>;
  /** @throws PyroError vmm_failed, guest_unreachable, guest_failed; never for what the command itself did */
  readonly outcome: Promise<ExecOutcome>;
}

export interface OpenMachine {
  /** 12 hexadecimal digits. */
  readonly id: string;
  readonly environment: string;
  readonly environmentVersion: string;
  readonly shape: MachineShape;
  readonly executionMode: ExecutionMode;
  readonly isolation: Isolation;
  readonly confinement: ConfinementLevel;
  exec(request: ExecRequest): Exec;
  /** Ends the machine and removes every trace of it. Safe to call twice. */
  close(): Promise<void>;
  /** Settles with the reason when the machine ends on its own (not through `close`). */
  readonly lost: Promise<PyroError>;
}

export interface OpenRequest {
  readonly environment: string;
  readonly vcpuCount: number | undefined;
  readonly memoryMib: number | undefined;
  /** Undefined: the best that works. */
  readonly machine: MachineName | undefined;
  readonly requireIsolation: "any" | "hardware";
  readonly signal: AbortSignal;
  readonly onPull: (progress: PullProgress) => void;
  readonly onPhase: (phase: "create" | "start", vmId: string | undefined) => void;
}

/** All machines of one server. */
export interface Machines {
  /** Pulls the environment when it is not installed, then starts a machine; on abort nothing is left. */
  open(request: OpenRequest): Promise<OpenMachine>;
  /** Installs an environment and makes its template. */
  pull(
    name: string,
    options: { force: boolean; signal: AbortSignal; onProgress: (progress: PullProgress) => void },
  ): Promise<void>;
  /** Install directories that machines use now. */
  environmentsInUse(): ReadonlySet<string>;
  /** Machines that callers hold, and machines kept ready for the next call. */
  counts(): { held: number; ready: number };
  /** Called whenever `counts` changes. */
  onChange(listener: () => void): void;
  /** Ends every machine. */
  close(): Promise<void>;
}
