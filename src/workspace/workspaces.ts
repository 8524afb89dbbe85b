/** All workspaces of one user. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../contract/error.ts";
import { type HostPaths, makePrivateDirectory } from "../host/paths.ts";
import { Scope } from "../host/scope.ts";
import type { Machines } from "../machine/machine.ts";
import { CopyPlace } from "./files/copy-place.ts";
import { freeBytes, HostDisk, refuseFull } from "./host-disk.ts";
import { environmentsOf, seedsOf } from "./in-use.ts";
import { Names } from "./names.ts";
import { type CreateCall, mergedLabels, newRecord, type NewWorkspace, type WorkspaceChange } from "./new-workspace.ts";
import { readRecords, type WorkspaceRecord, type WorkspaceSeed, writeRecord } from "./record.ts";
import { findSource } from "./seeds/seed-source.ts";
import { Seeds } from "./seeds/seeds.ts";
import { Trash } from "./trash.ts";
import type { StartCall } from "./opening.ts";
import type { VolumeFiles } from "./volume-file.ts";
import { volumePath } from "./machine-life.ts";
import { makeWhole, removeParts, removeWhole } from "./whole-directory.ts";
import { Workspace } from "./workspace.ts";

export interface WorkspacesOptions {
  readonly paths: HostPaths;
  readonly machines: Machines;
  readonly volumes: Pick<VolumeFiles, "create" | "copy">;
  /** pyro-seed, which reads what workspaces begin with. */
  readonly seeder: () => Promise<string>;
  /** Told of what a person should know and no call fails for. */
  readonly onNotice: (notice: string) => void;
  /** Room on the disk that they lie on; default: what the kernel says. */
  readonly freeBytes?: () => Promise<number>;
}

export class Workspaces {
  readonly #options: WorkspacesOptions;
  readonly #directory: string;
  readonly #trash: Trash;
  readonly #seeds: Seeds;
  readonly #copies: CopyPlace;
  readonly #disk: HostDisk;
  readonly #known = new Map<string, Workspace>();
  readonly #unreadable = new Map<string, string>();
  readonly #names = new Names((name) => this.#isKnown(name));

  private constructor(options: WorkspacesOptions) {
    this.#options = options;
    this.#directory = directoryOf(options.paths);
    this.#trash = new Trash(join(options.paths.state, "trash"));
    this.#seeds = new Seeds({
      directory: join(options.paths.state, "seeds"),
      machines: options.machines,
      program: options.seeder,
      createVolume: async (path) => await options.volumes.create(path),
      copyVolume: async (source, target) => await options.volumes.copy(source, target),
      inUse: async () => await this.#seedsInUse(),
      freeBytes: async () => await this.#freeBytes(),
      onNotice: options.onNotice,
    });
    this.#copies = new CopyPlace({ state: options.paths.state, program: options.seeder, onNotice: options.onNotice });
    this.#disk = new HostDisk(async () => await this.#freeBytes(), {
      isNeeded: () => [...this.#known.values()].some(({ machine }) => machine !== undefined),
      onFull: (free) => void this.#each(async (workspace) => await workspace.pause(free)),
      onRoom: () => void this.#each(async (workspace) => await workspace.resume()),
    });
  }

  /** Reads the records and puts right what a server that was killed has left. */
  static async open(options: WorkspacesOptions): Promise<Workspaces> {
    const workspaces = new Workspaces(options);
    await removeParts(await makeDirectory(options.paths));
    await workspaces.#load();
    await workspaces.#trash.open();
    await workspaces.#seeds.removeUnfinished();
    await workspaces.#copies.removeLeft();
    return workspaces;
  }

  /** Those that are not in the trash, the one used last first. */
  list(): Workspace[] {
    const time = ({ record }: Workspace): string => record.last_activity_at;
    return [...this.#known.values()].toSorted((one, other) => (time(one) < time(other) ? 1 : -1));
  }

  /** Ids whose records cannot be read. */
  get unreadable(): string[] {
    return [...this.#unreadable.keys()];
  }

  async listDeleted(): Promise<WorkspaceRecord[]> {
    return await this.#trash.list();
  }

  /** By id, or by name. @throws PyroError not_found, artifact_corrupt when its record cannot be read */
  find(reference: string): Workspace {
    const found =
      this.#known.get(reference) ?? [...this.#known.values()].find(({ record }) => record.name === reference);
    if (found !== undefined) return found;
    const why = this.#unreadable.get(reference);
    if (why !== undefined) {
      throw new PyroError("artifact_corrupt", `the workspace ${reference} cannot be read: ${why}`, {
        remedy: `its volume is still there: mend the record in ${join(this.#directory, reference)}, or remove that directory`,
      });
    }
    throw new PyroError("not_found", `there is no workspace ${reference}`, { remedy: "pyro workspace list" });
  }

  /** Makes one and starts it. On failure, as on abort, nothing is left. */
  async create(wanted: NewWorkspace, call: CreateCall): Promise<Workspace> {
    const make = async (): Promise<Workspace> => {
      await this.#checkRoom();
      await using scope = new Scope();
      const seed = await this.#seedFor(wanted, call, scope);
      const record = newRecord(wanted, seed);
      const directory = join(this.#directory, record.id);
      try {
        await makeWhole(directory, async (place) => await writeRecord(place, record));
        const seedId = seed?.id ?? undefined;
        if (seedId === undefined) await this.#options.volumes.create(volumePath(directory));
        else await this.#seeds.createVolume(seedId, volumePath(directory));
        const workspace = this.#workspace(record, directory);
        await workspace.begin(call, wanted.machine !== undefined);
        await unlessAborted(workspace, call.signal);
        this.#known.set(record.id, workspace);
        return workspace;
      } catch (failure) {
        await removeWhole(directory);
        throw failure;
      }
    };
    return await this.#names.take(wanted.name, make, call.signal);
  }

  async start(workspace: Workspace, call: StartCall): Promise<void> {
    if (workspace.machine === undefined) await this.#checkRoom();
    await workspace.start(call);
  }

  /** What copies files to and from this host: pyro-seed, and a directory for what it needs meanwhile. */
  async copying(): Promise<{ program: string; scratch: string; place: CopyPlace }> {
    return { program: await this.#options.seeder(), scratch: await this.#copies.scratch(), place: this.#copies };
  }

  /** Copies its seed into its volume. @throws PyroError invalid_state when it is not started, resource_exhausted */
  async flatten(workspace: Workspace): Promise<void> {
    const seedId = workspace.record.seed?.id ?? undefined;
    if (seedId === undefined) return;
    await this.#checkRoom(await this.#seeds.diskBytes(seedId));
    await workspace.flatten();
  }

  /** Changes name, labels or idle time, or makes the volume larger. @throws PyroError already_exists, invalid_argument */
  async update(workspace: Workspace, change: WorkspaceChange): Promise<void> {
    const { name } = change;
    const apply = async (): Promise<void> => {
      // The one thing that can be refused comes first.
      if (change.volumeBytes !== undefined) await workspace.growVolume(change.volumeBytes);
      await workspace.update((record) => ({
        ...(name === undefined ? {} : { name }),
        labels: mergedLabels(record.labels, change.labels),
        ...(change.ttlSeconds === undefined ? {} : { ttl_seconds: change.ttlSeconds }),
      }));
    };
    if (typeof name === "string" && name !== workspace.record.name) await this.#names.take(name, apply);
    else await apply();
  }

  /**
   * Deletes one, in the trash too when it is to be purged.
   * @throws PyroError invalid_state when it was changed and `force` is not given
   */
  async delete(reference: string, { force, purge }: { force: boolean; purge: boolean }): Promise<string> {
    const deleted = purge ? (await this.#trash.list()).find(isNamed(reference)) : undefined;
    if (deleted !== undefined && !this.#isKnown(reference)) {
      await this.#trash.purge(deleted.id);
      return deleted.id;
    }
    const workspace = this.find(reference);
    if (workspace.record.changed && !force) {
      throw new PyroError("invalid_state", `the files of the workspace ${reference} were changed since it was made`, {
        remedy: `pyro workspace delete ${reference} --force`,
      });
    }
    const { id } = workspace.record;
    await workspace.retire(async (directory) => {
      await this.#trash.put(directory, workspace.record);
      this.#known.delete(id);
      if (purge) await this.#trash.purge(id);
    });
    return id;
  }

  /** Takes one out of the trash, stopped. @throws PyroError not_found, already_exists when its name is used again */
  async restore(reference: string): Promise<Workspace> {
    const found = (await this.#trash.list()).find(isNamed(reference));
    if (found === undefined) {
      throw new PyroError("not_found", `there is no workspace ${reference} in the trash`, {
        remedy: "pyro workspace list --deleted",
      });
    }
    return await this.#names.take(found.name ?? undefined, async () => {
      const directory = join(this.#directory, found.id);
      const stopped = { reason: "restored" as const, message: "it was restored", at: new Date().toISOString() };
      const record: WorkspaceRecord = { ...found, deleted_at: null, state: "stopped", stopped };
      await this.#trash.take(record, directory);
      const workspace = this.#workspace(record, directory);
      this.#known.set(record.id, workspace);
      return workspace;
    });
  }

  /** Install directories of the environments that workspaces need, those in the trash too. */
  async environmentsInUse(): Promise<Set<string>> {
    return environmentsOf(await this.#records());
  }

  /** Removes seeds that no workspace needs, those in the trash too. */
  async pruneSeeds(): Promise<{ removed: string[]; freedBytes: number }> {
    return await this.#seeds.prune();
  }

  /** Settles when it is known which machines have outlived the server before. */
  async adopted(): Promise<void> {
    await Promise.all(this.list().map(async (workspace) => await workspace.adopted()));
  }

  /** Stops them all, for the end of the server. */
  async close(): Promise<void> {
    this.#disk.close();
    await this.#copies.close();
    await this.#each(async (workspace) => await workspace.stop("server_stopped", "the pyro server was stopped"));
  }

  /** Lets go of their machines, which live on for the next server: for the end of this one. */
  async handOver(): Promise<void> {
    this.#disk.close();
    await this.#copies.close();
    await this.#each(async (workspace) => await workspace.handOver());
  }

  async #each(work: (workspace: Workspace) => Promise<void>): Promise<void> {
    for (const outcome of await Promise.allSettled(this.list().map(work))) {
      if (outcome.status === "rejected") this.#options.onNotice(PyroError.from(outcome.reason).message);
    }
  }

  /** What the workspace begins with, kept from being removed until the scope ends: then its record says so. */
  async #seedFor(wanted: NewWorkspace, call: CreateCall, scope: Scope): Promise<WorkspaceSeed | null> {
    const { seedPath, seedIgnore } = wanted;
    if (seedPath === undefined) return null;
    const { environment, vcpuCount, memoryMib, machine, requireIsolation } = wanted;
    const source = await findSource(seedPath, { ignoring: seedIgnore });
    const { record, warnings, release } = await this.#seeds.of(source, {
      machine: { ...call, environment, vcpuCount, memoryMib, machine, requireIsolation },
      onProgress: call.onSeed,
    });
    scope.defer(release);
    const { id, entry_count, bytes } = record;
    return { id, mode: source.mode, path: seedPath, entry_count, bytes, warnings: [...warnings] };
  }

  /** Undefined while there are workspaces whose records cannot be read: they may need any seed. */
  async #seedsInUse(): Promise<ReadonlySet<string> | undefined> {
    if (this.#unreadable.size > 0 || (await this.#trash.hasUnreadable())) return undefined;
    return seedsOf(await this.#records());
  }

  /** Of all of them, those in the trash too. */
  async #records(): Promise<WorkspaceRecord[]> {
    return [...this.list().map(({ record }) => record), ...(await this.#trash.list())];
  }

  async #load(): Promise<void> {
    const { records, unreadable } = await readRecords(this.#directory);
    for (const { id, why } of unreadable) {
      this.#unreadable.set(id, why);
      this.#options.onNotice(`workspace ${id}: ${why}`);
    }
    for (const record of records) {
      const directory = join(this.#directory, record.id);
      // Nobody was told of it.
      if (record.state === "creating") await removeWhole(directory);
      else if (record.deleted_at !== null) await this.#trash.put(directory, record);
      else this.#known.set(record.id, this.#workspace(record, directory));
    }
    for (const workspace of this.#known.values()) if (workspace.record.state === "started") workspace.adopt();
  }

  #isKnown(reference: string): boolean {
    return this.#known.has(reference) || [...this.#known.values()].some(({ record }) => record.name === reference);
  }

  /** Refuses what the host's disk has no room for: so many bytes, and what a guest writes. */
  async #checkRoom(bytes = 0): Promise<void> {
    refuseFull(this.#directory, await this.#freeBytes(), bytes);
  }

  async #freeBytes(): Promise<number> {
    return await (this.#options.freeBytes?.() ?? freeBytes(this.#directory));
  }

  #workspace(record: WorkspaceRecord, directory: string): Workspace {
    const { machines, onNotice } = this.#options;
    const seedImage = async (id: string): Promise<string> => await this.#seeds.imageOf(id);
    const onMachine = (): void => this.#disk.watch();
    return new Workspace({ machines, directory, record, seedImage, onMachine, onNotice });
  }
}

/** One whose caller went away when its machine ran already: nobody would know of it. @throws PyroError why the caller went */
async function unlessAborted(workspace: Workspace, signal: AbortSignal): Promise<void> {
  if (!signal.aborted) return;
  await workspace.retire(async () => await Promise.resolve());
  throw PyroError.from(signal.reason);
}

const directoryOf = ({ state }: HostPaths): string => join(state, "workspaces");

async function makeDirectory(paths: HostPaths): Promise<string> {
  makePrivateDirectory(paths.state);
  await mkdir(directoryOf(paths), { recursive: true, mode: 0o700 });
  return directoryOf(paths);
}

/** Ids of the machines that workspaces had when the server before ended: those that are there still are theirs. */
export async function claimedMachines(paths: HostPaths): Promise<Set<string>> {
  const { records } = await readRecords(await makeDirectory(paths));
  return new Set(records.flatMap(({ state, machine_id: id }) => (state === "started" && id !== null ? [id] : [])));
}

const isNamed =
  (reference: string) =>
  ({ id, name }: WorkspaceRecord): boolean =>
    id === reference || name === reference;
