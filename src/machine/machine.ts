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
  /** Names it in its guest. */
  readonly id: string;
  /** Sends a Linux signal to the command's process group; false when it has ended. */
  signal(number: number): Promise<boolean>;
  /** @throws PyroError vmm_failed, guest_unreachable, guest_failed; never for what the command itself did */
  readonly outcome: Promise<ExecOutcome>;
}

/** How a workspace's volume is. */
export interface VolumeState {
  /** Changes with every change to the workspace's tree, and with nothing else. */
  readonly workspaceGeneration: number;
  readonly totalBytes: number;
  readonly usedBytes: number;
}

/** How much is in a tree, counted up to a limit. */
export interface TreeCount {
  readonly entries: number;
  /** Sizes of its regular files. */
  readonly bytes: number;
  /** Whether that is all. */
  readonly complete: boolean;
}

/** The volume that a machine was opened with. What is answered is on the host's disk. */
export interface MachineVolume {
  /** How it was when the machine was opened. */
  readonly opened: VolumeState;
  /** Keeps the workspace's tree as it is now. @throws PyroError already_exists, resource_exhausted */
  createSnapshot(id: string): Promise<{ volume: VolumeState; tree: TreeCount }>;
  /** @throws PyroError not_found */
  deleteSnapshot(id: string): Promise<void>;
  /** Writes all that the guest has in memory for it; `trim`: gives free space back to the host, for the machine's end. */
  sync(options: { trim: boolean }): Promise<VolumeState>;
}

/** What a machine is opened with when it is to keep something. */
export interface VolumeRequest {
  /** The volume's file: a btrfs, made by pyro or used by a machine before. No other machine may have it. */
  readonly path: string;
  /** Ids of its snapshots; others are left of a crash and are removed. */
  readonly snapshotIds: readonly string[];
  /** Id of the snapshot, or `baseline`, that the workspace becomes a copy of; undefined: it stays as it is. */
  readonly resetTo: string | undefined;
  /** How long the machine lives on without a server in which nothing runs. */
  readonly aloneLimitSeconds: number;
}

/** What a machine is, whoever started it. */
export interface MachineDescription {
  /** What it runs on, in the words of `--machine`. */
  readonly machineName: MachineName;
  /** Directory of the environment that its drives lie in. */
  readonly installDir: string;
  readonly environment: string;
  readonly environmentVersion: string;
  readonly shape: MachineShape;
  readonly executionMode: ExecutionMode;
  readonly isolation: Isolation;
  readonly confinement: ConfinementLevel;
}

/** A command that the guest of an adopted machine knows. */
export interface LeftCommand {
  /** The id that it was started under. */
  readonly execId: string;
  readonly isRunning: boolean;
  /**
   * Ends it with all of its processes, gives what the guest still has of its output, and then its end, which is its own if it
   * had ended before. The guest forgets it.
   */
  end(onOutput: ExecRequest["onOutput"]): Promise<ExecOutcome>;
}

export interface OpenMachine extends MachineDescription {
  /** 12 hexadecimal digits. */
  readonly id: string;
  /** Undefined: it keeps nothing. */
  readonly volume: MachineVolume | undefined;
  exec(request: ExecRequest): Exec;
  /** The commands that its guest knows now. */
  commands(): Promise<LeftCommand[]>;
  /** Stops its vCPUs where they are: nothing of it is late meanwhile, and nothing is to be asked of its guest. */
  pause(): Promise<void>;
  /** Lets it go on. */
  resume(): Promise<void>;
  /** Ends the machine and removes every trace of it. Safe to call twice. */
  close(): Promise<void>;
  /** Lets go of the machine, which lives on for the next server. Nothing else may be asked of it afterwards. */
  leave(): void;
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
  /** Undefined: what the guest writes is gone with the machine. */
  readonly volume?: VolumeRequest | undefined;
  readonly signal: AbortSignal;
  readonly onPull: (progress: PullProgress) => void;
  readonly onPhase: (phase: "create" | "start", vmId: string | undefined) => void;
}

/** All machines of one server. */
export interface Machines {
  /** Pulls the environment when it is not installed, then starts a machine; on abort nothing is left. */
  open(request: OpenRequest): Promise<OpenMachine>;
  /**
   * Takes over a machine that a server before has left and that this one has kept (`createMachines`).
   * @returns undefined when it is gone
   * @throws PyroError guest_unreachable when its guest does not answer; it is ended then
   */
  adopt(id: string): Promise<OpenMachine | undefined>;
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
