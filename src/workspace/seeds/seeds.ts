/**
 * Seeds: what workspaces begin with, made once for each content and shared, read-only, by all that begin with it.
 *
 * `seeds/ID/seed.raw` is the image, `first.raw` the volume that was sprouted from it first and is copied for each workspace,
 * `seed.json` says what is in it; `seeds/sources/` remembers the state in which a source was read. A seed's directory appears
 * whole, by a rename, and is removed only when no workspace needs it.
 */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, chown, mkdir, open, readdir, rename, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { syncDirectory, syncFile } from "../../host/files.ts";
import { Scope } from "../../host/scope.ts";
import { VOLUME_BYTES } from "../../machine/machine-directory.ts";
import type { Machines, WorkshopRequest } from "../../machine/machine.ts";
import { Turns } from "../turns.ts";
import {
  readSeedRecord,
  readSourceRecord,
  SEED_ID,
  type SeedRecord,
  type SourceRecord,
  writeSeedRecord,
  writeSourceRecord,
} from "./seed-record.ts";
import { changedWhileRead, type SeederOptions, type SourceContent } from "./seeder.ts";
import { checkRoom, whileThereIsRoom } from "./seed-room.ts";
import { type FoundSource, readSource, stateOf, warningsOf } from "./seed-source.ts";

/** Two changes within one tick of a file system's clock look like one: 10 ms, or two seconds where it knows no fractions. */
const FINE_TICK_NS = 50_000_000n;
const COARSE_TICK_NS = 2_000_000_000n;
const NS_PER_SECOND = 1_000_000_000n;

/** How far a seed is. */
export interface SeedProgress {
  readonly phase: "read" | "fill" | "compare" | "sprout";
  readonly entries: number;
  readonly bytes: number;
}

export interface SeedCall {
  /** The machine that makes it, if it has to be made. */
  readonly machine: WorkshopRequest;
  readonly onProgress: (progress: SeedProgress) => void;
}

/** A seed that is not removed until `release`. */
export interface HeldSeed {
  readonly record: SeedRecord;
  readonly warnings: readonly string[];
  readonly release: () => void;
}

export interface SeedsOptions {
  /** Where they lie. */
  readonly directory: string;
  readonly machines: Pick<Machines, "work">;
  /** pyro-seed. */
  readonly program: () => Promise<string>;
  /** Makes a new, empty volume. */
  readonly createVolume: (path: string) => Promise<void>;
  /** Copies a volume that no guest has written for its own. */
  readonly copyVolume: (source: string, target: string) => Promise<void>;
  /** Ids that workspaces need, those in the trash too; undefined: that cannot be known now. */
  readonly inUse: () => Promise<ReadonlySet<string> | undefined>;
  /** Room on the disk that they lie on, in bytes. */
  readonly freeBytes: () => Promise<number>;
  readonly onNotice: (notice: string) => void;
}

export class Seeds {
  readonly #options: SeedsOptions;
  readonly #sources: string;
  /** One is made after the other: two that are the same would be made twice. */
  readonly #turns = new Turns();
  readonly #held = new Map<string, number>();

  constructor(options: SeedsOptions) {
    this.#options = options;
    this.#sources = join(options.directory, "sources");
  }

  /** The image of a seed. @throws PyroError artifact_corrupt when it is missing */
  async imageOf(id: string): Promise<string> {
    const path = join(this.#directoryOf(id), "seed.raw");
    const found = await stat(path).catch(() => undefined);
    if (found?.size === VOLUME_BYTES) return path;
    throw new PyroError("artifact_corrupt", `the seed ${id}, which the workspace's files lie on, is missing`, {
      remedy: `put ${path} back from a backup: no other file takes its place`,
    });
  }

  /** Makes a volume that begins with the seed. */
  async createVolume(id: string, target: string): Promise<void> {
    await this.imageOf(id);
    await this.#options.copyVolume(join(this.#directoryOf(id), "first.raw"), target);
  }

  /** What the image of a seed and its first volume take on the host's disk, in bytes; 0 for one that is missing. */
  async diskBytes(id: string): Promise<number> {
    const sizes = ["seed.raw", "first.raw"].map(async (name) => {
      const found = await stat(join(this.#directoryOf(id), name)).catch(() => undefined);
      return found === undefined ? 0 : found.blocks * 512;
    });
    return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
  }

  /**
   * The seed of what the source has now: a known one, or a new one.
   * @throws PyroError permission_denied, invalid_state, resource_exhausted, guest_failed when what was made differs from it
   */
  async of(source: FoundSource, call: SeedCall): Promise<HeldSeed> {
    await mkdir(this.#sources, { recursive: true, mode: 0o700 });
    return (await this.#known(source, call)) ?? (await this.#make(source, call));
  }

  /** Removes what a server that was killed has left unfinished: before the first seed is made, it is nobody's. */
  async removeUnfinished(): Promise<void> {
    const unfinished = (await this.#names()).filter((name) => name.endsWith(".tmp"));
    for (const name of unfinished) await rm(join(this.#options.directory, name), { recursive: true, force: true });
  }

  /** Removes seeds that nobody needs; how many bytes that gave. */
  async prune(): Promise<{ removed: string[]; freedBytes: number }> {
    return await this.#turns.take(
      async () => await this.#remove((await this.#names()).filter((name) => SEED_ID.test(name))),
    );
  }

  /** None before the first seed. */
  async #names(): Promise<string[]> {
    return await readdir(this.#options.directory).catch(() => []);
  }

  /** The seed that the source's state belongs to, if it was read in this state before. */
  async #known(source: FoundSource, call: SeedCall): Promise<HeldSeed | undefined> {
    const before = await readSourceRecord(this.#sourcePath(source));
    if (before === undefined || before.stamp === null) return undefined;
    const { stamp } = await stateOf(source, await this.#seeder(call));
    if (stamp !== before.stamp) return undefined;
    // Held first: it may be removed while it is looked at.
    const release = this.#hold(before.seed_id);
    const record = await readSeedRecord(this.#directoryOf(before.seed_id));
    if (record !== undefined && (await this.imageOf(before.seed_id).catch(() => undefined)) !== undefined) {
      return { record, warnings: before.warnings, release };
    }
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
    await using scope = new Scope();
    const partial = join(this.#options.directory, `${randomBytes(6).toString("hex")}.tmp`);
    scope.defer(async () => await rm(partial, { recursive: true, force: true }));
    await mkdir(partial, { mode: 0o700 });
    const stream = join(partial, "stream");
    const { content, stamp } = await this.#read(source, partial, call);
    const digest = await digestOf(stream, call.machine.signal);
    const warnings = warningsOf(content);
    const record = (await this.#withContent(digest)) ?? (await this.#build(partial, { content, digest }, call));
    const release = this.#hold(record.id);
    try {
      const path = this.#sourcePath(source);
      const before = await readSourceRecord(path);
      const next = { version: 1 as const, path: source.path, stamp, seed_id: record.id, warnings };
      await writeSourceRecord(path, next);
      await this.#supersede(before, record.id);
    } catch (failure) {
      release();
      throw failure;
    }
    return { record, warnings, release };
  }

  /** Reads the source into a stream, and sees to it that it stayed as it was meanwhile. */
  async #read(
    source: FoundSource,
    partial: string,
    call: SeedCall,
  ): Promise<{ content: SourceContent; stamp: string | null }> {
    const seeder = await this.#seeder(call);
    const beganNs = BigInt(Date.now()) * 1_000_000n;
    const before = await stateOf(source, seeder);
    const limitBytes = checkRoom(before.diskBytes, await this.#options.freeBytes(), this.#options.directory);
    const content = await readSource(source, { scratch: partial, stream: join(partial, "stream"), limitBytes }, seeder);
    const after = await stateOf(source, seeder);
    if (after.stamp !== before.stamp) throw changedWhileRead(source.path, "");
    const { newestNs } = after;
    const tickNs = newestNs % NS_PER_SECOND === 0n ? COARSE_TICK_NS : FINE_TICK_NS;
    // What changed just before it was read may have changed after it, within the same tick.
    return { content, stamp: newestNs + tickNs < beganNs ? before.stamp : null };
  }

  /** Has the seed and its first volume made of the stream, and puts both in their place. */
  async #build(
    partial: string,
    { content, digest }: { content: SourceContent; digest: string },
    { machine, onProgress }: SeedCall,
  ): Promise<SeedRecord> {
    const [stream, image, first] = [join(partial, "stream"), join(partial, "seed.raw"), join(partial, "first.raw")];
    const { entries, bytes } = content;
    const id = `${digest.slice(0, 24)}-${randomBytes(4).toString("hex")}`;
    await truncate(stream, VOLUME_BYTES);
    await this.#options.createVolume(image);
    const { work } = this.#options.machines;
    const machines = { work: work.bind(this.#options.machines) };
    await machines.work(machine, { makes: "seed", streamPath: stream, volumePath: image, onStep: onProgress });
    await rm(stream);
    await rm(join(partial, "archive.tar"), { force: true });
    await makeOwn(image);
    onProgress({ phase: "sprout", entries, bytes });
    await createSparse(first);
    await machines.work(machine, { makes: "volume", seedPath: image, volumePath: first });
    await Promise.all([syncFile(image), syncFile(first)]);
    const record: SeedRecord = {
      version: 1,
      id,
      content_sha256: digest,
      entry_count: entries,
      bytes,
      created_at: new Date().toISOString(),
    };
    await writeSeedRecord(partial, record);
    await rename(partial, this.#directoryOf(id));
    await syncDirectory(this.#options.directory);
    return record;
  }

  /** A seed with this content, if there is one. */
  async #withContent(digest: string): Promise<SeedRecord | undefined> {
    const names = await readdir(this.#options.directory);
    for (const id of names.filter((name) => SEED_ID.test(name) && name.startsWith(digest.slice(0, 24)))) {
      const record = await readSeedRecord(this.#directoryOf(id));
      const isThere = (await this.imageOf(id).catch(() => undefined)) !== undefined;
      if (record?.content_sha256 === digest && isThere) return record;
    }
    return undefined;
  }

  /** A source that has changed: what it was before is kept only for those who need it. */
  async #supersede(before: SourceRecord | undefined, id: string): Promise<void> {
    if (before === undefined || before.seed_id === id) return;
    await this.#remove([before.seed_id]).catch((failure: unknown) => {
      this.#options.onNotice(`a seed that nobody needs was not removed: ${PyroError.from(failure).message}`);
    });
  }

  async #remove(ids: readonly string[]): Promise<{ removed: string[]; freedBytes: number }> {
    const used = await this.#options.inUse();
    const removed: string[] = [];
    let freedBytes = 0;
    for (const id of used === undefined ? [] : ids) {
      if (used?.has(id) === true || this.#held.has(id)) continue;
      freedBytes += await this.diskBytes(id);
      await rm(this.#directoryOf(id), { recursive: true, force: true });
      removed.push(id);
    }
    return { removed, freedBytes };
  }

  #hold(id: string): () => void {
    this.#held.set(id, (this.#held.get(id) ?? 0) + 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const count = (this.#held.get(id) ?? 1) - 1;
      if (count === 0) this.#held.delete(id);
      else this.#held.set(id, count);
    };
  }

  async #seeder({ machine, onProgress }: SeedCall): Promise<SeederOptions> {
    const onStep = (step: { entries: number; bytes: number }): void => onProgress({ phase: "read", ...step });
    return { program: await this.#options.program(), signal: machine.signal, onStep };
  }

  #directoryOf(id: string): string {
    return join(this.#options.directory, id);
  }

  #sourcePath({ key }: FoundSource): string {
    return join(this.#sources, `${createHash("sha256").update(key).digest("hex").slice(0, 32)}.json`);
  }
}

async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { highWaterMark: 1024 ** 2, signal })) hash.update(piece as Buffer);
  return hash.digest("hex");
}

async function createSparse(path: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.truncate(VOLUME_BYTES);
  } finally {
    await file.close();
  }
}

/** Root's machines have users of their own, and what they wrote is theirs: nobody writes to a seed again. */
async function makeOwn(path: string): Promise<void> {
  await chown(path, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  await chmod(path, 0o444);
}
