/**
 * Seeds: what workspaces begin with, made once for each content and shared, read-only, by all that begin with it
 * (`seed-store.ts`); `sources/` beside them remembers the state in which a source was read.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { Scope } from "../../host/scope.ts";
import { Turns } from "../turns.ts";
import { buildSeed, readUnchanged, type SeedCall, type SeedTools } from "./seed-making.ts";
import { readSourceRecord, type SeedRecord, type SourceRecord, writeSourceRecord } from "./seed-record.ts";
import { checkRoom, whileThereIsRoom } from "./seed-room.ts";
import { type FoundSource, type SourceState, stateOf, warningsOf } from "./seed-source.ts";
import { type SeedsInUse, SeedStore, UNFINISHED } from "./seed-store.ts";
import type { SeederOptions } from "./seeder.ts";

/** A seed that is not removed until `release`. */
export interface HeldSeed {
  readonly record: SeedRecord;
  readonly warnings: readonly string[];
  readonly release: () => void;
}

export interface SeedsOptions extends SeedTools {
  /** Where they lie. */
  readonly directory: string;
  /** pyro-seed. */
  readonly program: () => Promise<string>;
  /** Copies a volume that no guest has written for its own. */
  readonly copyVolume: (source: string, target: string) => Promise<void>;
  readonly inUse: SeedsInUse;
  /** Room on the disk that they lie on, in bytes. */
  readonly freeBytes: () => Promise<number>;
  readonly onNotice: (notice: string) => void;
}

export class Seeds {
  readonly #options: SeedsOptions;
  readonly #store: SeedStore;
  readonly #sources: string;
  /** One is made after the other: two that are the same would be made twice. */
  readonly #turns = new Turns();

  constructor(options: SeedsOptions) {
    this.#options = options;
    this.#store = new SeedStore(options.directory, options.inUse);
    this.#sources = join(options.directory, "sources");
  }

  /** The image of a seed. @throws PyroError artifact_corrupt when it is missing */
  async imageOf(id: string): Promise<string> {
    return await this.#store.imageOf(id);
  }

  /** Makes a volume that begins with the seed. @throws PyroError as `imageOf` */
  async createVolume(id: string, target: string): Promise<void> {
    await this.#options.copyVolume(await this.#store.firstVolumeOf(id), target);
  }

  /** What a seed takes on the host's disk, in bytes; 0 for one that is missing. */
  async diskBytes(id: string): Promise<number> {
    return await this.#store.diskBytes(id);
  }

  /** Removes what a server that was killed has left unfinished: before the first seed is made, it is nobody's. */
  async removeUnfinished(): Promise<void> {
    await this.#store.removeUnfinished();
  }

  /** Removes seeds that nobody needs; how many bytes that gave. */
  async prune(): Promise<{ removed: string[]; freedBytes: number }> {
    return await this.#turns.take(async () => await this.#store.prune());
  }

  /**
   * The seed of what the source has now: a known one, or a new one.
   * @throws PyroError permission_denied, invalid_state, resource_exhausted, guest_failed when what was made differs from it
   */
  async of(source: FoundSource, call: SeedCall): Promise<HeldSeed> {
    await mkdir(this.#sources, { recursive: true, mode: 0o700 });
    return (await this.#known(source, call)) ?? (await this.#make(source, call));
  }

  /** The seed that the source's state belongs to, if it was read in this state before. */
  async #known(source: FoundSource, call: SeedCall): Promise<HeldSeed | undefined> {
    const before = await readSourceRecord(this.#sourcePath(source));
    if (before === undefined || before.stamp === null) return undefined;
    const { stamp } = await stateOf(source, await this.#seeder(call));
    if (stamp !== before.stamp) return undefined;
    // Held first: it may be removed while it is looked at.
    const release = this.#store.hold(before.seed_id);
    const record = await this.#store.find(before.seed_id);
    if (record !== undefined) return { record, warnings: before.warnings, release };
    release();
    return undefined;
  }

  async #make(source: FoundSource, call: SeedCall): Promise<HeldSeed> {
    const { freeBytes } = this.#options;
    const work = async (signal: AbortSignal): Promise<HeldSeed> =>
      await this.#makeWith(source, { ...call, machine: { ...call.machine, signal } });
    return await this.#turns.take(
      async () => await whileThereIsRoom(freeBytes, call.machine.signal, work),
      call.machine.signal,
    );
  }

  async #makeWith(source: FoundSource, call: SeedCall): Promise<HeldSeed> {
    const { directory, freeBytes } = this.#options;
    await using scope = new Scope();
    const partial = join(directory, `${randomBytes(6).toString("hex")}${UNFINISHED}`);
    scope.defer(async () => await rm(partial, { recursive: true, force: true }));
    await mkdir(partial, { mode: 0o700 });
    const limitBytes = async ({ diskBytes }: SourceState): Promise<number> =>
      checkRoom(diskBytes, await freeBytes(), directory);
    const read = await readUnchanged(source, partial, limitBytes, await this.#seeder(call));
    let record = await this.#store.findContent(read.digest);
    if (record === undefined) {
      record = await buildSeed(partial, read, this.#options, call);
      await this.#store.put(partial, record);
    }
    const warnings = warningsOf(read.content);
    const release = this.#store.hold(record.id);
    try {
      const path = this.#sourcePath(source);
      const before = await readSourceRecord(path);
      const { stamp } = read;
      await writeSourceRecord(path, { version: 1, path: source.path, stamp, seed_id: record.id, warnings });
      await this.#supersede(before, record.id);
    } catch (failure) {
      release();
      throw failure;
    }
    return { record, warnings, release };
  }

  /** A source that has changed: what it was before is kept only for those who need it. */
  async #supersede(before: SourceRecord | undefined, id: string): Promise<void> {
    if (before === undefined || before.seed_id === id) return;
    await this.#store.prune([before.seed_id]).catch((failure: unknown) => {
      this.#options.onNotice(`a seed that nobody needs was not removed: ${PyroError.from(failure).message}`);
    });
  }

  async #seeder({ machine, onProgress }: SeedCall): Promise<SeederOptions> {
    const onStep = (step: { entries: number; bytes: number }): void => onProgress({ phase: "read", ...step });
    return { program: await this.#options.program(), signal: machine.signal, onStep };
  }

  #sourcePath({ key }: FoundSource): string {
    return join(this.#sources, `${createHash("sha256").update(key).digest("hex").slice(0, 32)}.json`);
  }
}
