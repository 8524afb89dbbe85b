/** What is kept of a workspace beside its volume: one JSON file, replaced as a whole. */
import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { PyroError } from "../contract/error.ts";
import { MACHINE_NAMES } from "../contract/run.ts";
import { stopReason } from "../contract/workspace.ts";
import { readTextIfPresent, writeFileDurably } from "../host/files.ts";
import { parseJson } from "../host/json.ts";
import { SEED_ID } from "./seeds/seed-record.ts";

const RECORD_NAME = "workspace.json";
/** What an id is: nothing else ever becomes a part of a path. */
export const WORKSPACE_ID = /^[0-9a-f]{12}$/;

const snapshotRecord = z.object({
  /** Its name in the volume. */
  id: z.string().regex(/^[0-9a-f]{16}$/),
  /** Its name for people. */
  name: z.string(),
  created_at: z.string(),
  entry_count: z.int(),
  bytes: z.number(),
  counted_all: z.boolean(),
});

const workspaceSeed = z.object({
  /** The seed that the volume lies on; null: it has taken that in. */
  id: z.string().regex(SEED_ID).nullable(),
  mode: z.enum(["directory", "tar_archive"]),
  /** Where it came from. */
  path: z.string(),
  entry_count: z.int(),
  bytes: z.number(),
  warnings: z.array(z.string()),
});

const workspaceRecord = z.object({
  version: z.literal(1),
  id: z.string().regex(WORKSPACE_ID),
  name: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  environment: z.string(),
  environment_version: z.string(),
  /** Directory of the environment that its root file system lies in. */
  install_dir: z.string(),
  /** SHA-256 of that root's image, which what it changed of `/` lies on; null: not known. */
  environment_digest: z.string().nullable().default(null),
  /** What it ran on last, which it prefers. */
  machine: z.enum(MACHINE_NAMES),
  require_isolation: z.enum(["any", "hardware"]),
  vcpu_count: z.int(),
  mem_mib: z.int(),
  ttl_seconds: z.int(),
  created_at: z.string(),
  last_activity_at: z.string(),
  /** `creating` until its maker was told of it; `started` may be a lie of a server that was killed. */
  state: z.enum(["creating", "started", "stopped"]),
  /** The machine while it is started, which outlives its server; of an older pyro's, none. */
  machine_id: z.string().nullable().default(null),
  stopped: z.object({ reason: stopReason, message: z.string(), at: z.string() }).nullable(),
  snapshots: z.array(snapshotRecord),
  /** What each snapshot pinned when the workspace was stopped, in bytes by its id; null: not known. */
  pins: z
    .object({ at: z.string(), bytes: z.record(z.string(), z.number()) })
    .nullable()
    .default(null),
  /** Name of the snapshot that the next start makes the workspace a copy of: a reset that was not finished. */
  pending_reset: z.string().nullable(),
  /** Commands since it was made or reset. */
  command_count: z.int(),
  reset_count: z.int(),
  last_reset_at: z.string().nullable(),
  /** What it began with; null: nothing. */
  seed: workspaceSeed.nullable().default(null),
  /** The workspace's generation when it was the same as its seed; null: it never was since the last reset. */
  seed_generation: z.number().nullable(),
  /** Whether it may differ from its seed. */
  changed: z.boolean(),
  deleted_at: z.string().nullable(),
  /** Where on this host it was made; null: unknown. */
  directory: z.string().nullable().default(null),
});

export type SnapshotRecord = z.infer<typeof snapshotRecord>;
export type WorkspaceSeed = z.infer<typeof workspaceSeed>;
export type WorkspaceRecord = z.infer<typeof workspaceRecord>;

export function newWorkspaceId(): string {
  return randomBytes(6).toString("hex");
}

export function newSnapshotId(): string {
  return randomBytes(8).toString("hex");
}

/** Replaces the record in `directory`, durably. */
export async function writeRecord(directory: string, record: WorkspaceRecord): Promise<void> {
  await writeFileDurably(join(directory, RECORD_NAME), JSON.stringify(record, null, 2));
}

/** What lies in a directory of workspaces: the records that can be read, and of the others why not. */
export async function readRecords(
  parent: string,
): Promise<{ records: WorkspaceRecord[]; unreadable: { id: string; why: string }[] }> {
  const ids = (await readdir(parent)).filter((name) => WORKSPACE_ID.test(name));
  const records: WorkspaceRecord[] = [];
  const unreadable: { id: string; why: string }[] = [];
  for (const id of ids) {
    try {
      records.push(await readRecord(join(parent, id), id));
    } catch (failure) {
      unreadable.push({ id, why: PyroError.from(failure).message });
    }
  }
  return { records, unreadable };
}

async function readRecord(directory: string, id: string): Promise<WorkspaceRecord> {
  const text = await readTextIfPresent(join(directory, RECORD_NAME));
  if (text === undefined) throw new PyroError("artifact_corrupt", "it has no record");
  const parsed = workspaceRecord.safeParse(parseJson(text));
  if (!parsed.success || parsed.data.id !== id) {
    throw new PyroError("artifact_corrupt", `its record ${join(directory, RECORD_NAME)} is damaged`);
  }
  return parsed.data;
}
