/** One workspace: its record, its machine while it is started, and what is done to both, one after the other. */
import type { Paused, StopReason } from "../contract/workspace.ts";
import type { OpenMachine, VolumeState } from "../machine/machine.ts";
import { type FileWork, withFiles } from "./files/machine-files.ts";
import { MachineLife, volumePath, type WorkspaceParts } from "./machine-life.ts";
import type { StartCall } from "./opening.ts";
import type { WorkspaceRecord } from "./record.ts";
import type { SnapshotView } from "./snapshots.ts";
import { grow, sizeOf, type VolumeSize } from "./volume-size.ts";
import { WorkspaceCommands } from "./workspace-commands.ts";
import { WorkspaceSnapshots } from "./workspace-snapshots.ts";

export class Workspace {
  readonly #parts: WorkspaceParts;
  readonly #life: MachineLife;
  readonly commands: WorkspaceCommands;
  readonly snapshots: WorkspaceSnapshots;

  constructor(parts: WorkspaceParts) {
    this.#parts = parts;
    this.#life = new MachineLife(parts);
    this.commands = new WorkspaceCommands(this.#life);
    this.snapshots = new WorkspaceSnapshots(this.#life);
  }

  get record(): WorkspaceRecord {
    return this.#life.record;
  }

  get machine(): OpenMachine | undefined {
    return this.#life.machine;
  }

  /** Where its volume and its record lie. */
  get directory(): string {
    return this.#parts.directory;
  }

  get runningCommands(): number {
    return this.#life.commands.count;
  }

  /** Why its machine stands still; undefined: it runs, or there is none. */
  get paused(): Paused | undefined {
    return this.#life.paused;
  }

  /** Stops its machine where it is, if it has one that runs: the host's disk is full. Waits for no turn. */
  async pause(freeBytes: number): Promise<void> {
    await this.#life.pause(freeBytes);
  }

  async resume(): Promise<void> {
    await this.#life.resume();
  }

  /** Settles when it is known whether its machine has outlived the server before. */
  async adopted(): Promise<void> {
    await this.#life.adopted();
  }

  /** Takes over the machine that the server before has left, if it is there still. Whatever is asked meanwhile waits. */
  adopt(): void {
    this.#life.adopt();
  }

  /** Lets go of its machine, which lives on for the next server; nothing is done with this workspace afterwards. */
  async handOver(): Promise<void> {
    await this.#life.handOver();
  }

  async volumeSize(): Promise<VolumeSize> {
    return await sizeOf(volumePath(this.#parts.directory));
  }

  /** Makes its volume larger. @throws PyroError invalid_argument when it would shrink, resource_exhausted */
  async growVolume(sizeBytes: number): Promise<void> {
    await this.#life.take(async () => {
      this.#life.refusePaused();
      await grow(volumePath(this.#parts.directory), sizeBytes);
      await this.machine?.volume?.grow(sizeBytes);
      this.#life.active();
    });
  }

  /** The first start, of a workspace whose volume was just made. */
  async begin(call: StartCall, insist: boolean): Promise<void> {
    await this.#life.take(async () => await this.#life.open({ call, insist, resetTo: undefined }));
  }

  /** Starts it; one that is started stays as it is. A reset that was not finished is finished. */
  async start(call: StartCall): Promise<void> {
    await this.#life.take(async () => {
      if (this.machine !== undefined) return;
      const pending = this.record.pending_reset;
      const resetTo = pending === null ? undefined : this.snapshots.find(pending);
      await this.#life.open({ call, insist: false, resetTo });
    }, call.signal);
  }

  /** Stops it; one that is stopped stays as it is. Its files are on the disk then. */
  async stop(reason: StopReason, message: string): Promise<void> {
    await this.#life.take(async () => {
      // What is in the guest's memory would be lost; whoever stops all of them knows that.
      if (reason === "asked") this.#life.refusePaused();
      await this.#life.stop(reason, message);
    });
  }

  /**
   * Makes the machine new and the tree that of a snapshot. Until the new machine has exchanged the trees, which is the last
   * thing that can fail, nothing of the old one is lost.
   */
  async reset(name: string, call: StartCall): Promise<SnapshotView> {
    return await this.#life.take(async () => {
      const source = this.snapshots.find(name);
      // Without it there is no going back, and nothing to stop for.
      const seedId = this.record.seed?.id ?? undefined;
      if (seedId !== undefined) await this.#parts.seedImage(seedId);
      this.#life.refusePaused();
      await this.#life.stop("start_failed", `its reset to ${name} was not finished`, { trim: false });
      await this.#life.save({ pending_reset: name });
      await this.#life.open({ call, insist: false, resetTo: source });
      return source;
    }, call.signal);
  }

  /** Changes what only the record has. */
  async update(change: (record: WorkspaceRecord) => Partial<WorkspaceRecord>): Promise<void> {
    await this.#life.take(async () => {
      await this.#life.save(change(this.record));
      this.#life.active();
    });
  }

  /** Stops it and has `work` take its directory away; whatever waits for its turn finds that it is gone. */
  async retire(work: (directory: string) => Promise<void>): Promise<void> {
    await this.#life.retire(work);
  }

  /** Has the guest copy the seed into the volume; what it then is does not change. @throws PyroError invalid_state */
  async flatten(): Promise<void> {
    await this.#life.take(async () => {
      const { seed } = this.record;
      const machine = this.#life.started();
      if (seed === null || seed.id === null) return;
      await machine.volume?.flatten();
      // Until this is on the disk the seed counts as needed, which hurts nothing.
      await this.#life.save({ seed: { ...seed, id: null } });
      this.#life.active();
    });
  }

  /** Changes files of its machine: nothing else is done with the workspace meanwhile. @throws PyroError invalid_state */
  async changeFiles<T extends { volume: VolumeState }>(work: FileWork<T>, signal: AbortSignal): Promise<T> {
    return await this.#life.take(async () => {
      const machine = this.#life.started();
      const done = await withFiles(machine, work);
      await this.#life.save({ changed: this.#life.isChanged(done.volume) });
      this.#life.active();
      return done;
    }, signal);
  }

  /** Works with its machine beside whatever else is done; it is not idle meanwhile. @throws PyroError invalid_state */
  async beside<T>(work: (machine: OpenMachine) => Promise<T>, signal: AbortSignal): Promise<T> {
    const machine = await this.#life.take(async () => await Promise.resolve(this.#life.started()), signal);
    return await this.#life.using(machine, work);
  }

  /** Reads files of its machine. @throws PyroError as `beside` */
  async readFiles<T>(work: FileWork<T>, signal: AbortSignal): Promise<T> {
    return await this.beside(async (machine) => await withFiles(machine, work), signal);
  }
}
