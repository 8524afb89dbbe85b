/** One workspace: its record, its machine while it is started, and what is done to both, one after the other. */
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../contract/error.ts";
import type { LoggedCommand, StopReason } from "../contract/workspace.ts";
import { withDeadline } from "../host/deadline.ts";
import type { Machines, OpenMachine, OpenRequest, VolumeState } from "../machine/machine.ts";
import { CommandLog } from "./command-log.ts";
import { type CommandMachine, Commands } from "./commands.ts";
import { type WorkspaceRecord, writeRecord } from "./record.ts";
import { SnapshotTable, type SnapshotView } from "./snapshots.ts";
import { Turns } from "./turns.ts";

/** How long commands have to end before their machine does. */
const GRACE_MS = 3000;
/** Writing what a guest has in memory; one that does not answer is ended without. */
const SYNC_DEADLINE_MS = 60_000;

export const volumePath = (directory: string): string => join(directory, "volume.raw");

export interface WorkspaceParts {
  readonly machines: Machines;
  readonly directory: string;
  readonly record: WorkspaceRecord;
  readonly onNotice: (notice: string) => void;
}

/** What a start tells while it lasts, and how it is cancelled. */
export type StartCall = Pick<OpenRequest, "signal" | "onPull" | "onPhase">;

/** A start that nobody listens to. */
interface Opening {
  readonly call: StartCall;
  /** Only for a machine that was asked for by name: no other one will do. */
  readonly insist: boolean;
  readonly resetTo: SnapshotView | undefined;
}

export class Workspace {
  readonly #parts: WorkspaceParts;
  readonly #turns = new Turns();
  readonly #log: CommandLog;
  readonly #commands: Commands;
  readonly #directory: string;
  #retired = false;
  #record: WorkspaceRecord;
  #machine: OpenMachine | undefined;
  /** Machines that were ended on purpose. */
  readonly #stopped = new WeakSet<OpenMachine>();
  #saving: Promise<void> = Promise.resolve();
  #syncing: Promise<void> | undefined;
  #syncWaits = false;
  #idle: NodeJS.Timeout | undefined;

  constructor(parts: WorkspaceParts) {
    this.#parts = parts;
    this.#directory = parts.directory;
    this.#record = parts.record;
    this.#log = new CommandLog(parts.directory);
    this.#commands = new Commands(this.#log, {
      number: () => this.#count(),
      onActivity: () => this.#active(),
      onEnd: () => this.#syncSoon(),
      onNotice: (notice) => this.#notice(notice),
    });
  }

  get record(): WorkspaceRecord {
    return this.#record;
  }

  get machine(): OpenMachine | undefined {
    return this.#machine;
  }

  get runningCommands(): number {
    return this.#commands.count;
  }

  /** Bytes that the volume takes on the host's disk. */
  async diskBytes(): Promise<number> {
    const found = await stat(volumePath(this.#directory)).catch(() => undefined);
    return found === undefined ? 0 : found.blocks * 512;
  }

  /** The first start, of a workspace whose volume was just made. */
  async begin(call: StartCall, insist: boolean): Promise<void> {
    await this.#take(async () => await this.#open({ call, insist, resetTo: undefined }));
  }

  /** Starts it; one that is started stays as it is. A reset that was not finished is finished. */
  async start(call: StartCall): Promise<void> {
    await this.#take(async () => {
      if (this.#machine !== undefined) return;
      const pending = this.#record.pending_reset;
      const resetTo = pending === null ? undefined : this.#snapshots().find(pending);
      await this.#open({ call, insist: false, resetTo });
    }, call.signal);
  }

  /** Stops it; one that is stopped stays as it is. Its files are on the disk then. */
  async stop(reason: StopReason, message: string): Promise<void> {
    await this.#take(async () => await this.#stop(reason, message));
  }

  /**
   * Makes the machine new and the tree that of a snapshot. Until the new machine has exchanged the trees, which is the last
   * thing that can fail, nothing of the old one is lost.
   */
  async reset(name: string, call: StartCall): Promise<SnapshotView> {
    return await this.#take(async () => {
      const source = this.#snapshots().find(name);
      await this.#stop("start_failed", `its reset to ${name} was not finished`);
      await this.#save({ pending_reset: name });
      await this.#open({ call, insist: false, resetTo: source });
      return source;
    }, call.signal);
  }

  /** Changes what only the record has. */
  async update(change: (record: WorkspaceRecord) => Partial<WorkspaceRecord>): Promise<void> {
    await this.#take(async () => {
      await this.#save(change(this.#record));
      this.#active();
    });
  }

  /** Stops it and has `work` take its directory away; whatever waits for its turn finds that it is gone. */
  async retire(work: (directory: string) => Promise<void>): Promise<void> {
    await this.#take(async () => {
      await this.#stop("asked", "it was deleted");
      await this.#syncing;
      await this.#saving.catch(() => undefined);
      await work(this.#directory);
      this.#retired = true;
    });
  }

  /** A command's machine and number; `text` is how it is shown. @throws PyroError invalid_state when it is not started */
  async command(text: string, signal: AbortSignal): Promise<{ machine: CommandMachine; sequence: number }> {
    return await this.#take(async () => {
      const machine = this.#started();
      return await Promise.resolve(this.#commands.next(machine, text, () => this.#stopped.has(machine)));
    }, signal);
  }

  async loggedCommands(): Promise<LoggedCommand[]> {
    return await this.#log.read();
  }

  listSnapshots(): SnapshotView[] {
    return this.#snapshots().list();
  }

  async createSnapshot(name: string): Promise<SnapshotView> {
    return await this.#take(async () => {
      const table = this.#snapshots();
      table.refuse(name);
      const { volume } = this.#started();
      if (volume === undefined) throw new PyroError("internal", "a workspace's machine without a volume");
      const { record, state } = await table.create(name, volume);
      try {
        await this.#save({ snapshots: [...this.#record.snapshots, record], changed: this.#isChanged(state) });
      } catch (failure) {
        // Otherwise the next start removes it: it is not in the record.
        await volume.deleteSnapshot(record.id).catch(() => undefined);
        throw failure;
      }
      this.#active();
      return this.#snapshots().find(name);
    });
  }

  /** From the record first: what the volume still has of it, the next start removes. */
  async deleteSnapshot(name: string): Promise<void> {
    await this.#take(async () => {
      const { id } = this.#snapshots().deletable(name);
      await this.#save({ snapshots: this.#record.snapshots.filter((each) => each.id !== id) });
      await this.#machine?.volume?.deleteSnapshot(id);
      this.#active();
    });
  }

  async #open({ call, insist, resetTo }: Opening): Promise<void> {
    const machine = await this.#openMachine(call, { insist, resetTo: resetTo?.id });
    this.#machine = machine;
    void machine.lost.then(async (why) => await this.#lose(machine, why));
    const { volume } = machine;
    const isNew = this.#record.state === "creating" || resetTo?.kind === "baseline";
    const seedGeneration = isNew
      ? (volume?.opened.workspaceGeneration ?? null)
      : resetTo === undefined
        ? this.#record.seed_generation
        : null;
    const isReset = resetTo !== undefined;
    if (isReset) await this.#log.clear();
    const now = new Date().toISOString();
    await this.#save({
      state: "started",
      stopped: null,
      pending_reset: null,
      machine: machine.machineName,
      environment_version: machine.environmentVersion,
      install_dir: machine.installDir,
      vcpu_count: machine.shape.vcpuCount,
      mem_mib: machine.shape.memoryMib,
      seed_generation: seedGeneration,
      changed: seedGeneration === null || volume?.opened.workspaceGeneration !== seedGeneration,
      last_activity_at: now,
      ...(isReset ? { command_count: 0, reset_count: this.#record.reset_count + 1, last_reset_at: now } : {}),
    });
    this.#active();
  }

  /** As `Turns.take`, unless the workspace was deleted before the turn came. */
  async #take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return await this.#turns.take(async () => {
      if (this.#retired) throw new PyroError("not_found", `there is no workspace ${this.#record.id} any more`);
      return await work();
    }, signal);
  }

  /** Prefers what it ran on last, and takes another one where that is gone. */
  async #openMachine(
    call: StartCall,
    { insist, resetTo }: { insist: boolean; resetTo: string | undefined },
  ): Promise<OpenMachine> {
    const { machines } = this.#parts;
    const record = this.#record;
    const isNew = record.state === "creating";
    const request: OpenRequest = {
      ...call,
      environment: record.environment,
      // A new one takes the environment's own where it was not told otherwise.
      vcpuCount: record.vcpu_count === 0 ? undefined : record.vcpu_count,
      memoryMib: record.mem_mib === 0 ? undefined : record.mem_mib,
      machine: isNew && !insist ? undefined : record.machine,
      requireIsolation: record.require_isolation,
      volume: { path: volumePath(this.#directory), snapshotIds: record.snapshots.map(({ id }) => id), resetTo },
    };
    try {
      return await machines.open(request);
    } catch (failure) {
      const code = PyroError.is(failure) ? failure.code : undefined;
      const isGone = code === "host_unsupported" || code === "dependency_missing";
      if (isNew || insist || !isGone) throw failure;
      this.#notice(`${record.machine} is gone: it is started on another machine`);
      return await machines.open({ ...request, machine: undefined });
    }
  }

  async #stop(reason: StopReason, message: string): Promise<void> {
    const machine = this.#machine;
    if (machine === undefined) return;
    clearTimeout(this.#idle);
    await this.#commands.end(GRACE_MS);
    const written = await this.#sync(machine, true);
    this.#machine = undefined;
    this.#stopped.add(machine);
    await machine.close();
    const lost = written === undefined ? "; its guest did not answer, so what was written last may be lost" : "";
    await this.#save({
      state: "stopped",
      stopped: { reason, message: `${message}${lost}`, at: new Date().toISOString() },
      changed: written === undefined || this.#isChanged(written),
    });
  }

  /** The machine has ended on its own. */
  async #lose(machine: OpenMachine, why: PyroError): Promise<void> {
    await this.#turns
      .take(async () => {
        if (this.#machine !== machine) return;
        this.#machine = undefined;
        clearTimeout(this.#idle);
        await machine.close();
        const stopped = { reason: "vmm_failed" as const, message: why.message, at: new Date().toISOString() };
        await this.#save({ state: "stopped", stopped, changed: true });
      })
      .catch((failure: unknown) => this.#notice(`after its machine ended: ${PyroError.from(failure).message}`));
  }

  /** How the volume is, once all is written; undefined when the guest did not do it. */
  async #sync(machine: OpenMachine, trim: boolean): Promise<VolumeState | undefined> {
    const late = (): PyroError => new PyroError("deadline_exceeded", `no answer within ${SYNC_DEADLINE_MS} ms`);
    try {
      if (machine.volume === undefined) return undefined;
      return await withDeadline(machine.volume.sync({ trim }), SYNC_DEADLINE_MS, late);
    } catch (failure) {
      this.#notice(`its volume was not written: ${PyroError.from(failure).message}`);
      return undefined;
    }
  }

  /** Has what a command left in the guest's memory written, soon: many commands that end at once are one sync. */
  #syncSoon(): void {
    const again = this.#syncing ?? Promise.resolve();
    const machine = this.#machine;
    if (machine === undefined || this.#syncWaits) return;
    this.#syncWaits = true;
    this.#syncing = again.then(async () => {
      this.#syncWaits = false;
      if (this.#machine !== machine) return;
      const state = await this.#sync(machine, false);
      if (state !== undefined && this.#machine === machine) await this.#save({ changed: this.#isChanged(state) });
    });
    this.#syncing.catch((failure: unknown) => this.#notice(`its record: ${PyroError.from(failure).message}`));
  }

  #isChanged(state: VolumeState): boolean {
    return this.#record.seed_generation === null || state.workspaceGeneration !== this.#record.seed_generation;
  }

  #snapshots(): SnapshotTable {
    return new SnapshotTable(this.#record);
  }

  #started(): OpenMachine {
    if (this.#machine !== undefined) return this.#machine;
    const { id, stopped } = this.#record;
    throw new PyroError(
      "invalid_state",
      `the workspace ${id} is stopped: ${stopped?.message ?? "it was not started"}`,
      {
        remedy: `pyro workspace start ${id}`,
      },
    );
  }

  #count(): number {
    this.#record = { ...this.#record, command_count: this.#record.command_count + 1 };
    return this.#record.command_count;
  }

  /** Somebody uses it: the time until it is idle begins anew. */
  #active(): void {
    clearTimeout(this.#idle);
    this.#record = { ...this.#record, last_activity_at: new Date().toISOString() };
    if (this.#machine === undefined || this.#commands.count > 0) return;
    this.#idle = setTimeout(() => void this.#expire(), this.#record.ttl_seconds * 1000).unref();
  }

  async #expire(): Promise<void> {
    const seconds = this.#record.ttl_seconds;
    await this.#turns
      .take(async () => {
        // Somebody may have come just now.
        if (this.#commands.count === 0) await this.#stop("idle", `nothing ran for ${seconds} s`);
      })
      .catch((failure: unknown) => this.#notice(`was not stopped: ${PyroError.from(failure).message}`));
  }

  /** Replaces the record; writes come one after the other, and each sees those before. */
  async #save(change: Partial<WorkspaceRecord>): Promise<void> {
    const saving = this.#saving
      .catch(() => undefined)
      .then(async () => {
        const next = { ...this.#record, ...change };
        await writeRecord(this.#directory, next);
        // What was counted meanwhile stays counted.
        this.#record = { ...this.#record, ...change };
      });
    this.#saving = saving;
    await saving;
  }

  #notice(notice: string): void {
    this.#parts.onNotice(`workspace ${this.#record.id}: ${notice}`);
  }
}

/** Removes a workspace's directory, which is nobody's any more. */
export async function removeWorkspace(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}
