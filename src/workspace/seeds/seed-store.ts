/**
 * Where seeds lie: `ID/seed.raw` is the image, `first.raw` the volume that was sprouted from it first and is copied for each
 * workspace, `seed.json` says what is in it. A seed's directory appears whole, by a rename, and is removed only when nobody
 * needs it.
 */
import { readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { syncDirectory } from "../../host/files.ts";
import { VOLUME_BYTES } from "../../machine/machine-directory.ts";
import { readSeedRecord, SEED_ID, type SeedRecord } from "./seed-record.ts";

/** Of one that is not finished yet. */
export const UNFINISHED = ".tmp";

export const imagePath = (directory: string): string => join(directory, "seed.raw");
export const firstVolumePath = (directory: string): string => join(directory, "first.raw");

/** Ids that workspaces need, those in the trash too; undefined: that cannot be known now. */
export type SeedsInUse = () => Promise<ReadonlySet<string> | undefined>;

export class SeedStore {
  readonly directory: string;
  readonly #inUse: SeedsInUse;
  /** How many hold one. */
  readonly #held = new Map<string, number>();

  constructor(directory: string, inUse: SeedsInUse) {
    this.directory = directory;
    this.#inUse = inUse;
  }

  /** The image of a seed. @throws PyroError artifact_corrupt when it is missing */
  async imageOf(id: string): Promise<string> {
    const path = imagePath(this.#directoryOf(id));
    const found = await stat(path).catch(() => undefined);
    if (found?.size === VOLUME_BYTES) return path;
    throw new PyroError("artifact_corrupt", `the seed ${id}, which the workspace's files lie on, is missing`, {
      remedy: `put ${path} back from a backup: no other file takes its place`,
    });
  }

  /** The volume that begins with the seed and is copied. @throws PyroError artifact_corrupt when its image is missing */
  async firstVolumeOf(id: string): Promise<string> {
    await this.imageOf(id);
    return firstVolumePath(this.#directoryOf(id));
  }

  /** What the image of a seed and its first volume take on the host's disk, in bytes; 0 for one that is missing. */
  async diskBytes(id: string): Promise<number> {
    const directory = this.#directoryOf(id);
    const sizes = [imagePath(directory), firstVolumePath(directory)].map(async (path) => {
      const found = await stat(path).catch(() => undefined);
      return found === undefined ? 0 : found.blocks * 512;
    });
    return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
  }

  /** What is known of a seed that is there with its image. */
  async find(id: string): Promise<SeedRecord | undefined> {
    const record = await readSeedRecord(this.#directoryOf(id));
    const isThere = (await this.imageOf(id).catch(() => undefined)) !== undefined;
    return isThere ? record : undefined;
  }

  /** A seed with this content, if there is one. */
  async findContent(digest: string): Promise<SeedRecord | undefined> {
    for (const id of (await this.#ids()).filter((name) => name.startsWith(digest.slice(0, 24)))) {
      const record = await this.find(id);
      if (record?.content_sha256 === digest) return record;
    }
    return undefined;
  }

  /** Takes in a seed that lies, whole, in `directory`. */
  async put(directory: string, { id }: SeedRecord): Promise<void> {
    await rename(directory, this.#directoryOf(id));
    await syncDirectory(this.directory);
  }

  /** Keeps a seed from being removed until what it returns is called. */
  hold(id: string): () => void {
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

  /** Removes those of these that nobody needs, default: of all; how many bytes that gave. */
  async prune(ids?: readonly string[]): Promise<{ removed: string[]; freedBytes: number }> {
    const used = await this.#inUse();
    const removed: string[] = [];
    let freedBytes = 0;
    if (used === undefined) return { removed, freedBytes };
    for (const id of ids ?? (await this.#ids())) {
      if (used.has(id) || this.#held.has(id)) continue;
      freedBytes += await this.diskBytes(id);
      await rm(this.#directoryOf(id), { recursive: true, force: true });
      removed.push(id);
    }
    return { removed, freedBytes };
  }

  /** Removes what a server that was killed has left unfinished: before the first seed is made, it is nobody's. */
  async removeUnfinished(): Promise<void> {
    const unfinished = (await this.#names()).filter((name) => name.endsWith(UNFINISHED));
    for (const name of unfinished) await rm(join(this.directory, name), { recursive: true, force: true });
  }

  async #ids(): Promise<string[]> {
    return (await this.#names()).filter((name) => SEED_ID.test(name));
  }

  /** None before the first seed. */
  async #names(): Promise<string[]> {
    return await readdir(this.directory).catch(() => []);
  }

  #directoryOf(id: string): string {
    return join(this.directory, id);
  }
}
