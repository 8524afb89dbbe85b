/** Making a seed: the source is read into a stream, machines that are nobody's make an image of it and its first volume. */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, chown, open, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { syncFile } from "../../host/files.ts";
import { VOLUME_BYTES } from "../../machine/machine-directory.ts";
import type { Machines, WorkshopRequest } from "../../machine/machine.ts";
import { type SeedRecord, writeSeedRecord } from "./seed-record.ts";
import { firstVolumePath, imagePath } from "./seed-store.ts";
import { changedWhileRead, type SeederOptions, type SourceContent } from "./seeder.ts";
import { type FoundSource, readSource, type SourceState, stateOf } from "./seed-source.ts";

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

/** A source that has been read. */
export interface ReadSource {
  readonly content: SourceContent;
  /** Of the whole stream, SHA-256. */
  readonly digest: string;
  /** State of the source; null: nothing would tell its next change. */
  readonly stamp: string | null;
}

/** What seeds are made with. */
export interface SeedTools {
  readonly machines: Pick<Machines, "work">;
  /** Makes a new, empty volume. */
  readonly createVolume: (path: string) => Promise<void>;
}

const streamPath = (directory: string): string => join(directory, "stream");

/**
 * Reads the source into a stream in `directory`, and sees to it that it stayed as it was meanwhile. `limitBytes`: what an
 * archive may unpack to, of a source in this state.
 * @throws PyroError invalid_state when it changed; what `limitBytes` throws
 */
export async function readUnchanged(
  source: FoundSource,
  directory: string,
  limitBytes: (state: SourceState) => Promise<number>,
  seeder: SeederOptions,
): Promise<ReadSource> {
  const stream = streamPath(directory);
  const beganNs = BigInt(Date.now()) * 1_000_000n;
  const before = await stateOf(source, seeder);
  const how = { scratch: directory, stream, limitBytes: await limitBytes(before) };
  const content = await readSource(source, how, seeder);
  const after = await stateOf(source, seeder);
  if (after.stamp !== before.stamp) throw changedWhileRead(source.path, "");
  const { newestNs } = after;
  const tickNs = newestNs % NS_PER_SECOND === 0n ? COARSE_TICK_NS : FINE_TICK_NS;
  // What changed just before it was read may have changed after it, within the same tick.
  const stamp = newestNs + tickNs < beganNs ? before.stamp : null;
  return { content, digest: await digestOf(stream, seeder.signal), stamp };
}

/** Has the seed and its first volume made, in `directory`, of the stream that lies there. */
export async function buildSeed(
  directory: string,
  { content: { entries, bytes }, digest }: ReadSource,
  { createVolume, machines }: SeedTools,
  { machine, onProgress }: SeedCall,
): Promise<SeedRecord> {
  const [stream, image, first] = [streamPath(directory), imagePath(directory), firstVolumePath(directory)];
  await truncate(stream, VOLUME_BYTES);
  await createVolume(image);
  await machines.work(machine, { makes: "seed", streamPath: stream, volumePath: image, onStep: onProgress });
  await rm(stream);
  await rm(join(directory, "archive.tar"), { force: true });
  await makeOwn(image);
  onProgress({ phase: "sprout", entries, bytes });
  await createSparse(first);
  await machines.work(machine, { makes: "volume", seedPath: image, volumePath: first });
  await Promise.all([syncFile(image), syncFile(first)]);
  const record: SeedRecord = {
    version: 1,
    id: `${digest.slice(0, 24)}-${randomBytes(4).toString("hex")}`,
    content_sha256: digest,
    entry_count: entries,
    bytes,
    created_at: new Date().toISOString(),
  };
  await writeSeedRecord(directory, record);
  return record;
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
