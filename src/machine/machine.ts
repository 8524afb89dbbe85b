/** What the server works with: a machine that runs, configured, and answers commands. */
import type { ConfinementLevel, ExecutionMode, Isolation, MachineName } from "../contract/run.ts";
import type { PullProgress } from "../contract/environment.ts";
import type { InstalledRoot } from "../host/paths.ts";
import type { PyroError } from "../contract/error.ts";
import type { MachineFiles } from "./guest-files.ts";
import type { VolumeState } from "./volume-state.ts";
import type { MachineShape } from "../vmm/driver.ts";

export type { VolumeState } from "./volume-state.ts";

/** Of a terminal, in characters; 1 to 65535. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Takes output as it comes; the next piece is given only when its promise has settled. */
export type OutputTaker = (stream: "stdout" | "stderr", data: Uint8Array) => Promise<void> | void;

/** A command as the guest gets it. */
export interface ExecRequest {
  readonly argv: readonly string[];
  /** Complete: nothing of the host's environment is added. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute path in the guest. */
  readonly cwd: string;
  /** Name or uid in the guest. */
  readonly user: string;
  /** Undefined: none. */
  readonly timeLimitMs: number | undefined;
  /** Standard input; undefined: /dev/null. */
  readonly stdin: AsyncIterable<Uint8Array> | undefined;
  /** Undefined: three pipes. A terminal's output is all standard output. */
  readonly terminal?: TerminalSize | undefined;
  /** Undefined: whoever takes the output holds the command up, and nothing is left of it when it has ended. */
  readonly keep?: KeepRequest | undefined;
  /** With `keep`: told of bytes that were there and are no longer. */
  readonly onDropped?: ((stream: "stdout" | "stderr", bytes: number) => void) | undefined;
  /** That it takes its time is the backpressure which reaches the guest's pipe. */
  readonly onOutput: OutputTaker;
}

/** What is to be had of a command later, whoever waits for it now: it never waits for its readers. */
export interface KeepRequest {
  /** Bytes of each stream that the guest keeps: the last ones. */
  readonly bytes: number;
  /** What the guest keeps for us, should we forget it; at most 16 KiB. */
  readonly note: Uint8Array;
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
  /** 16 hexadecimal digits. */
  readonly id: string;
  /** Settles when the guest has taken the command; when it does not, the outcome says why as well. */
  readonly started: Promise<void>;
  /** Sends a Linux signal to the command's process group; false when it has ended. */
  signal(number: number): Promise<boolean>;
  /** Changes the size of its terminal; false when it has none, or has ended. */
  resize(size: TerminalSize): Promise<boolean>;
  /** @throws PyroError vmm_failed, guest_unreachable, guest_failed; never for what the command itself did */
  readonly outcome: Promise<ExecOutcome>;
}

/** A command that the guest keeps (`KeepRequest`), by its id alone. */
export interface KeptExec {
  readonly id: string;
  /**
   * Takes its output from the first byte that is kept on, and gives its end. `onDropped` is told of bytes that were there
   * and are no longer. Aborting it leaves the command alone.
   * @throws PyroError not_found, cancelled, guest_unreachable, vmm_failed
   */
  attach(reader: KeptReader): Promise<ExecOutcome>;
  /** As `attach`, of what was produced so far; undefined: it goes on. */
  readSoFar(reader: KeptReader): Promise<ExecOutcome | undefined>;
  /**
   * Sends a Linux signal to its process group, SIGKILL to all of its processes and to what it has left behind; false when it has
   * ended.
   */
  signal(number: number): Promise<boolean>;
  /** Ends what is left of it, and forgets it. */
  release(): Promise<void>;
}

export interface KeptReader {
  readonly onOutput: OutputTaker;
  readonly onDropped: (stream: "stdout" | "stderr", bytes: number) => void;
  readonly signal: AbortSignal;
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
  /** The workspace's files. */
  readonly files: MachineFiles;
  /** Keeps the workspace's tree as it is now. @throws PyroError already_exists, resource_exhausted */
  createSnapshot(id: string): Promise<{ volume: VolumeState; tree: TreeCount }>;
  /** @throws PyroError not_found */
  deleteSnapshot(id: string): Promise<void>;
  /**
   * Bytes that would be free if only this snapshot was deleted, by the ids of those that are there; undefined: they were not
   * counted to the end within the limit.
   */
  countPins(ids: readonly string[], limitMs: number): Promise<ReadonlyMap<string, number> | undefined>;
  /**
   * Makes it larger: its file, its drive, and the file system on it. One that is as large already stays as it is.
   * @throws PyroError invalid_argument when it would shrink, vmm_failed
   */
  grow(sizeBytes: number): Promise<VolumeState>;
  /** Moves what lies on the seed into the volume, which needs the seed no more. @throws PyroError resource_exhausted */
  flatten(): Promise<VolumeState>;
  /** Tells what differs in two of its trees. @throws PyroError not_found, cancelled */
  compare(request: CompareRequest, listener: CompareListener): Promise<void>;
  /** Writes all that the guest has in memory for it; `trim`: gives free space back to the host, for the machine's end. */
  sync(options: { trim: boolean }): Promise<VolumeState>;
}

export interface CompareRequest {
  /** Id of a snapshot, or `baseline`. */
  readonly from: string;
  /** As `from`; undefined: the workspace as it is. */
  readonly to: string | undefined;
  /** Also what git ignores. */
  readonly includeIgnored: boolean;
  /** Binary and large files with their content. */
  readonly includeBinary: boolean;
  /** Not only the list. */
  readonly withPatch: boolean;
  readonly signal: AbortSignal;
}

/** How many paths differ. */
export interface TreeSummary {
  readonly added: number;
  readonly modified: number;
  readonly deleted: number;
  readonly typeChanged: number;
  /** Paths that a patch has as text, and the others. */
  readonly textPatched: number;
  readonly nonText: number;
  readonly renamed: number;
  /** That git ignores. */
  readonly ignored: number;
  /** Of which git cannot have something, by what that is. */
  readonly lost: Readonly<Record<string, number>>;
  /** The commits that HEAD was and is. */
  readonly headFrom: string | undefined;
  readonly headTo: string | undefined;
}

/** A path that differs. */
export interface TreeChange {
  readonly path: Uint8Array;
  /** The deleted path that has this content, or the added one. */
  readonly renamed: Uint8Array | undefined;
  readonly status: "added" | "modified" | "deleted" | "type_changed";
  readonly kind: "file" | "symlink" | "directory" | "other";
  readonly carried: "text" | "binary" | "large" | "none";
  readonly from: { readonly mode: number; readonly size: number } | undefined;
  readonly to: { readonly mode: number; readonly size: number } | undefined;
  readonly linesAdded: number;
  readonly linesRemoved: number;
  /** What git cannot have of it. */
  readonly lost: readonly string[];
}

/** Is told the summary first, then each change behind its part of the patch. */
export interface CompareListener {
  readonly onSummary: (summary: TreeSummary) => void;
  /** The next piece is given when its promise has settled. */
  readonly onPatch: (piece: Uint8Array) => Promise<void> | void;
  readonly onChange: (change: TreeChange) => void;
}

/** What a machine is opened with when it is to keep something. */
export interface VolumeRequest {
  /** The volume's file: a btrfs, made by pyro or used by a machine before. No other machine may have it. */
  readonly path: string;
  /** Ids of its snapshots; others are left of a crash and are removed. */
  readonly snapshotIds: readonly string[];
  /** Id of the snapshot, or `baseline`, that the workspace becomes a copy of; undefined: it stays as it is. */
  readonly resetTo: string | undefined;
  /** The seed that the volume was sprouted from; undefined: none. */
  readonly seedPath?: string | undefined;
  /** How long the machine lives on without a server in which nothing runs. */
  readonly aloneLimitSeconds: number;
}

/** How far a guest is with a seed. */
export interface SeedStep {
  readonly phase: "fill" | "compare";
  /** Names and bytes that were written, or compared. */
  readonly entries: number;
  readonly bytes: number;
}

/** What a machine that is nobody's makes, before it ends. */
export type Workshop =
  | {
      readonly makes: "seed";
      /** A stream as pyro-seed writes it, in a file of the seed slot's size. */
      readonly streamPath: string;
      /** An empty volume, that becomes the seed. */
      readonly volumePath: string;
      readonly onStep: (step: SeedStep) => void;
    }
  | {
      readonly makes: "volume";
      readonly seedPath: string;
      /** A file of a volume's size, whatever is in it. */
      readonly volumePath: string;
    };

/** What a machine is, whoever started it. */
export interface MachineDescription {
  /** What it runs on, in the words of `--machine`. */
  readonly machineName: MachineName;
  /** Directory of the environment that its drives lie in. */
  readonly installDir: string;
  readonly environment: string;
  readonly environmentVersion: string;
  /** SHA-256 of its root file system's image; empty: it was started by a pyro that did not note it. */
  readonly environmentDigest: string;
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
  /** Of one that was started with `keep`; otherwise empty. */
  readonly note: Uint8Array;
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
  /** A command that was started with `keep`. */
  kept(id: string): KeptExec;
  /** Ends the machine and removes every trace of it. Safe to call twice. */
  close(): Promise<void>;
  /** Lets go of the machine, which lives on for the next server. Nothing else may be asked of it afterwards. */
  leave(): void;
  /** Settles with the reason when the machine ends on its own (not through `close`). */
  readonly lost: Promise<PyroError>;
}

export interface OpenRequest {
  readonly environment: string;
  /** The root to be started from, where it is still there; otherwise, as without, the environment as it is now. */
  readonly startedFrom?: InstalledRoot | undefined;
  readonly vcpuCount: number | undefined;
  readonly memoryMib: number | undefined;
  /** Undefined: the best that works. */
  readonly machine: MachineName | undefined;
  readonly requireIsolation: "any" | "hardware";
  /** Undefined: what the guest writes is gone with the machine. */
  readonly volume?: VolumeRequest | undefined;
  readonly signal: AbortSignal;
  /** Settles when the caller has its answer: the next machine is made ready then, not while this answer is on its way. */
  readonly answered?: Promise<void> | undefined;
  readonly onPull: (progress: PullProgress) => void;
  readonly onPhase: (phase: "create" | "start", vmId: string | undefined) => void;
}

/** The machine that a workshop runs in. */
export type WorkshopRequest = Omit<OpenRequest, "volume" | "onPhase" | "answered">;

/** All machines of one server. */
export interface Machines {
  /** Pulls the environment when it is not installed, then starts a machine; on abort nothing is left. */
  open(request: OpenRequest): Promise<OpenMachine>;
  /**
   * Has a machine of this kind make something, and ends it; on abort the machine is gone, and what it made is of no use.
   * @throws PyroError guest_failed when what was made is not what was to be made, resource_exhausted
   */
  work(request: WorkshopRequest, workshop: Workshop): Promise<void>;
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
