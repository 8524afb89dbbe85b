/** The life of a workspace's machine: from its start, or its take-over, to its end; and whose turn it is meanwhile. */
import { join } from "node:path";
import { PyroError } from "../contract/error.ts";
import type { Paused, StopReason } from "../contract/workspace.ts";
import type { Machines, OpenMachine, VolumeState } from "../machine/machine.ts";
import { findMachine, idleSecondsLeft, lastNumber } from "./adoption.ts";
import { CalledCommands } from "./called-commands.ts";
import { CommandLog } from "./command-log.ts";
import { Commands } from "./commands.ts";
import { openWithRoom } from "./full-volume.ts";
import { IdleTimer } from "./idle-timer.ts";
import { type Opening, openWorkspaceMachine, startedOn } from "./opening.ts";
import { endOrphans, type LeftDetached } from "./orphans.ts";
import { Pause } from "./pause.ts";
import { Pins } from "./pins.ts";
import type { WorkspaceRecord } from "./record.ts";
import { SavedRecord } from "./saved-record.ts";
import { Turns } from "./turns.ts";
import { VolumeSync } from "./volume-sync.ts";

/** How long commands have to end before their machine does. */
const GRACE_MS = 3000;

export const volumePath = (directory: string): string => join(directory, "volume.raw");

export interface WorkspaceParts {
  readonly machines: Machines;
  readonly directory: string;
  readonly record: WorkspaceRecord;
  /** The image of a seed by its id. @throws PyroError artifact_corrupt when it is missing */
  readonly seedImage: (id: string) => Promise<string>;
  /** It has a machine now. */
  readonly onMachine: () => void;
  readonly onNotice: (notice: string) => void;
}

export class MachineLife {
  readonly #parts: WorkspaceParts;
  readonly #turns = new Turns();
  readonly log: CommandLog;
  readonly #called: CalledCommands;
  readonly commands: Commands;
  #retired = false;
  /** Calls that work with its machine now, beside the commands. */
  #readers = 0;
  readonly #record: SavedRecord;
  #machine: OpenMachine | undefined;
  /** Machines that were ended on purpose. */
  readonly #stopped = new WeakSet<OpenMachine>();
  readonly #sync: VolumeSync;
  readonly #idle = new IdleTimer(() => void this.#expire());
  #adopting: Promise<void> = Promise.resolve();
  readonly #pause = new Pause();
  readonly pins = new Pins(() => ({ record: this.record, machine: this.#machine, paused: this.paused }));

  constructor(parts: WorkspaceParts) {
    this.#parts = parts;
    this.#record = new SavedRecord(parts.directory, parts.record);
    this.log = new CommandLog(parts.directory);
    const onNotice = (notice: string): void => this.#notice(notice);
    this.#called = new CalledCommands(parts.directory, (failure) =>
      this.#notice(`a command was not noted: ${PyroError.from(failure).message}`),
    );
    this.#sync = new VolumeSync({
      machine: () => this.#machine,
      onState: async (state) => await this.#record.save({ changed: this.isChanged(state) }),
      onNotice,
    });
    this.commands = new Commands(
      { log: this.log, called: this.#called },
      {
        number: () => this.#count(),
        onActivity: () => this.active(),
        onEnd: () => this.#sync.soon(),
        onNotice,
      },
    );
  }

  get record(): WorkspaceRecord {
    return this.#record.value;
  }

  get machine(): OpenMachine | undefined {
    return this.#machine;
  }

  /** Why its machine stands still; undefined: it runs, or there is none. */
  get paused(): Paused | undefined {
    return this.#machine === undefined ? undefined : this.#pause.why(this.#machine);
  }

  /** Stops its machine where it is, if it has one that runs: the host's disk is full. Waits for no turn. */
  async pause(freeBytes: number): Promise<void> {
    const machine = this.#machine;
    if (machine === undefined) return;
    this.#idle.stop();
    await this.#pause.begin(machine, freeBytes);
  }

  /** Lets it go on, if it stands still. */
  async resume(): Promise<void> {
    const machine = this.#machine;
    if (machine !== undefined && (await this.#pause.end(machine))) this.active();
  }

  /** As `Turns.take`, unless the workspace was deleted before the turn came. */
  async take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return await this.#turns.take(async () => {
      if (this.#retired) throw new PyroError("not_found", `there is no workspace ${this.record.id} any more`);
      return await work();
    }, signal);
  }

  /** Its machine. @throws PyroError invalid_state when it has none, resource_exhausted while that stands still */
  started(): OpenMachine {
    this.#pause.refuse(this.#machine, this.record.id);
    if (this.#machine !== undefined) return this.#machine;
    const { id, stopped } = this.record;
    throw new PyroError(
      "invalid_state",
      `the workspace ${id} is stopped: ${stopped?.message ?? "it was not started"}`,
      {
        remedy: `pyro workspace start ${id}`,
      },
    );
  }

  /** Somebody uses it: the time until it is idle begins anew. */
  active(): void {
    this.#idle.stop();
    this.#record.note({ last_activity_at: new Date().toISOString() });
    if (this.#machine === undefined || this.#isBusy || this.paused !== undefined) return;
    this.#idle.restart(this.record.ttl_seconds);
  }

  /** Starts a machine, in a turn. */
  async open(opening: Opening): Promise<void> {
    const { resetTo } = opening;
    const seedId = this.record.seed?.id ?? undefined;
    const onNotice = (notice: string): void => this.#notice(notice);
    const path = volumePath(this.#parts.directory);
    const seedPath = seedId === undefined ? undefined : await this.#parts.seedImage(seedId);
    const how = { ...opening, volumePath: path, seedPath, onNotice };
    const open = async (): Promise<OpenMachine> => await openWorkspaceMachine(this.#parts.machines, this.record, how);
    const machine = await openWithRoom(path, open, onNotice);
    try {
      if (resetTo !== undefined) await this.log.clear();
      await this.#record.save(startedOn(this.record, machine, resetTo));
    } catch (failure) {
      // Nobody would know of it.
      await machine.close();
      throw failure;
    }
    this.#hold(machine);
    this.active();
  }

  /** Ends its machine, in a turn; `trim`: blocks of deleted files are the host's again. */
  async stop(reason: StopReason, message: string, { trim } = { trim: true }): Promise<void> {
    const machine = this.#machine;
    if (machine === undefined) return;
    this.#idle.stop();
    // One that stands still answers nothing.
    const answers = this.paused === undefined;
    if (answers) await this.commands.end(GRACE_MS);
    const pins = answers && trim ? await this.pins.atStop(machine) : null;
    const written = answers ? await this.#sync.now(machine, trim) : undefined;
    const lost = written === undefined ? "; its guest did not answer, so what was written last may be lost" : "";
    const stopped = { reason, message: `${message}${lost}`, at: new Date().toISOString() };
    this.#leave(stopped);
    this.#stopped.add(machine);
    await machine.close();
    await this.commands.logged();
    await this.#record.save({
      state: "stopped",
      machine_id: null,
      pins,
      stopped,
      changed: written === undefined || this.isChanged(written),
    });
  }

  /** Settles when it is known whether its machine has outlived the server before. */
  async adopted(): Promise<void> {
    await this.#adopting;
  }

  /** Takes over the machine that the server before has left, if it is there still. Whatever is asked meanwhile waits. */
  adopt(): void {
    // Commands may have run since the record was written.
    this.#record.note({ changed: true });
    this.#adopting = this.take(async () => await this.#adopt()).catch((failure: unknown) => {
      this.#notice(`its machine was not taken over: ${PyroError.from(failure).message}`);
    });
  }

  /** Lets go of its machine, which lives on for the next server; nothing is done with this workspace afterwards. */
  async handOver(): Promise<void> {
    await this.take(async () => {
      const machine = this.#machine;
      this.#retired = true;
      this.#idle.stop();
      await this.#sync.settled();
      await this.#called.settled();
      if (machine === undefined) return;
      await this.#record.save({});
      this.#machine = undefined;
      this.commands.leave();
      machine.leave();
    });
  }

  /** Whether the tree is another one than the workspace began with. */
  isChanged(state: VolumeState): boolean {
    return this.record.seed_generation === null || state.workspaceGeneration !== this.record.seed_generation;
  }

  /** How a command is shown, and whether its machine was ended on purpose. */
  shown(machine: OpenMachine, text: string): { text: string; wasStopped: () => boolean } {
    return { text, wasStopped: () => this.#stopped.has(machine) };
  }

  /** Changes the record durably. */
  async save(change: Partial<WorkspaceRecord>): Promise<void> {
    await this.#record.save(change);
  }

  /** @throws PyroError resource_exhausted while the machine stands still */
  refusePaused(): void {
    this.#pause.refuse(this.#machine, this.record.id);
  }

  /** Does `work` with the machine, which is not idle meanwhile. */
  async using<T>(machine: OpenMachine, work: (machine: OpenMachine) => Promise<T>): Promise<T> {
    this.#readers += 1;
    this.#idle.stop();
    try {
      return await work(machine);
    } finally {
      this.#readers -= 1;
      this.active();
    }
  }

  /** Stops the machine and has `work` take the directory away; whatever waits for its turn finds that it is gone. */
  async retire(work: (directory: string) => Promise<void>): Promise<void> {
    await this.take(async () => {
      await this.stop("asked", "it was deleted");
      await this.#sync.settled();
      await this.#record.settled();
      await work(this.#parts.directory);
      this.#retired = true;
    });
  }

  #hold(machine: OpenMachine): void {
    this.#machine = machine;
    this.#parts.onMachine();
    void machine.lost.then(async (why) => await this.#lose(machine, why));
  }

  async #adopt(): Promise<void> {
    const found = await findMachine(this.#parts.machines, this.record);
    if (found.machine === undefined) return await this.#record.save(found.ended);
    const { machine } = found;
    this.#hold(machine);
    const called = await this.#called.read();
    const onNotice = (notice: string): void => this.#notice(notice);
    const onDetached = (each: LeftDetached): void =>
      this.commands.adopt(machine, each, () => this.#stopped.has(machine));
    const ended = await endOrphans(machine, { called, log: this.log, onDetached, onNotice });
    const state = await this.#sync.now(machine, false);
    await this.#record.save({
      command_count: lastNumber(this.record, called),
      changed: state === undefined || this.isChanged(state),
    });
    if (ended > 0 || this.commands.count > 0) this.active();
    else this.#idle.restart(idleSecondsLeft(this.record));
  }

  /** The machine has ended on its own. */
  async #lose(machine: OpenMachine, why: PyroError): Promise<void> {
    await this.#turns
      .take(async () => {
        if (this.#machine !== machine) return;
        const stopped = { reason: "vmm_failed" as const, message: why.message, at: new Date().toISOString() };
        this.#leave(stopped);
        this.#idle.stop();
        await machine.close();
        await this.commands.logged();
        await this.#record.save({ state: "stopped", machine_id: null, stopped, changed: true });
      })
      .catch((failure: unknown) => this.#notice(`after its machine ended: ${PyroError.from(failure).message}`));
  }

  /** It is without a machine from now on, and says why before that is on the disk: ending a machine takes a while. */
  #leave(stopped: WorkspaceRecord["stopped"]): void {
    this.#machine = undefined;
    this.#record.note({ stopped });
  }

  #count(): number {
    this.#record.note({ command_count: this.record.command_count + 1 });
    return this.record.command_count;
  }

  get #isBusy(): boolean {
    return this.commands.count > 0 || this.#readers > 0;
  }

  async #expire(): Promise<void> {
    const seconds = this.record.ttl_seconds;
    await this.#turns
      .take(async () => {
        // Somebody may have come just now.
        if (!this.#isBusy) await this.stop("idle", `nothing ran for ${seconds} s`);
      })
      .catch((failure: unknown) => this.#notice(`was not stopped: ${PyroError.from(failure).message}`));
  }

  #notice(notice: string): void {
    this.#parts.onNotice(`workspace ${this.record.id}: ${notice}`);
  }
}
