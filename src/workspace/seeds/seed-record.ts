/** What is kept of seeds beside their images, and of where they came from. */
import { join } from "node:path";
import * as z from "zod";
import { writeFileDurably } from "../../host/files.ts";
import { readJson } from "../../host/json.ts";

/** Name of a seed's directory: its content, and which image of it. */
export const SEED_ID = /^[0-9a-f]{24}-[0-9a-f]{8}$/;

const seedRecord = z.object({
  version: z.literal(1),
  id: z.string().regex(SEED_ID),
  /** Of the stream that it was made of: names, attributes and content of all that is in it. */
  content_sha256: z.string(),
  entry_count: z.int(),
  bytes: z.number(),
  created_at: z.string(),
});

const sourceRecord = z.object({
  version: z.literal(1),
  path: z.string(),
  /** State of the source; it is the same as long as nothing in it has changed. Null: nothing would tell the next change. */
  stamp: z.string().nullable(),
  seed_id: z.string().regex(SEED_ID),
  /** What was to be said about it. */
  warnings: z.array(z.string()),
});

export type SeedRecord = z.infer<typeof seedRecord>;
export type SourceRecord = z.infer<typeof sourceRecord>;

const RECORD_NAME = "seed.json";

export async function writeSeedRecord(directory: string, record: SeedRecord): Promise<void> {
  await writeFileDurably(join(directory, RECORD_NAME), JSON.stringify(record, null, 2));
}

/** Undefined where there is none, or none that can be read: such a seed is not given to anybody new. */
export async function readSeedRecord(directory: string): Promise<SeedRecord | undefined> {
  return seedRecord.safeParse(await readJson(join(directory, RECORD_NAME))).data;
}

export async function writeSourceRecord(path: string, record: SourceRecord): Promise<void> {
  await writeFileDurably(path, JSON.stringify(record, null, 2));
}

export async function readSourceRecord(path: string): Promise<SourceRecord | undefined> {
  return sourceRecord.safeParse(await readJson(path)).data;
}
