/** Shapes of workspaces, as every front end shows them. */
import * as z from "zod";
import { TTL_SECONDS_DEFAULT, TTL_SECONDS_MAX, TTL_SECONDS_MIN } from "./limits.ts";
import { confinement, executionMode, isolation, MACHINE_NAMES, machineEvent } from "./run.ts";

/** Where the tree of a workspace is in its guest. */
export const WORKSPACE_PATH = "/workspace";

/** The snapshot that every workspace has: its tree as it was made. */
export const BASELINE_NAME = "baseline";

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;
/** What looks like an id is one. */
const NO_ID = /^(?![0-9a-f]{12}$)/;

export const newWorkspaceName = z
  .string()
  .regex(NAME, "a name has 1 to 63 letters, digits, dots, dashes and underscores, and begins with a letter or digit")
  .regex(NO_ID, "a name must not look like an id: 12 hexadecimal digits");

export const workspaceReference = z
  .string()
  .regex(NAME, "an id has 12 hexadecimal digits, a name 1 to 63 letters, digits, dots, dashes and underscores")
  .describe("id or name of the workspace");

export const snapshotName = z
  .string()
  .regex(NAME, "a snapshot's name has 1 to 63 letters, digits, dots, dashes and underscores")
  .describe("name of the snapshot");

export const hostDirectory = z
  .string()
  .startsWith("/")
  .max(4096)
  .regex(/^[^\0]*$/, "a path has no NUL bytes")
  .describe("absolute path of the directory on this host that it is made from: in it the CLI means this workspace");

/** KEY=VALUE; no control characters, for labels are printed. */
export const label = z
  .string()
  .max(256)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_./-]{0,62}=[^\u0000-\u001f\u007f-\u009f]*$/, "write KEY=VALUE");

export const ttlSeconds = z
  .int()
  .min(TTL_SECONDS_MIN)
  .max(TTL_SECONDS_MAX)
  .describe(
    `seconds without a command after which it is stopped, and kept; ${TTL_SECONDS_MIN} to ${TTL_SECONDS_MAX}, default ${TTL_SECONDS_DEFAULT}`,
  );

export const stopReason = z
  .enum(["asked", "idle", "server_stopped", "server_ended", "vmm_failed", "start_failed", "restored"])
  .describe(
    "asked: by stop; idle: nothing ran for ttl_seconds; server_stopped: with its server; server_ended: its server was killed, or the host; vmm_failed: the machine ended on its own; start_failed: a reset or start did not end well; restored: it came back from the trash",
  );

export const treeSize = {
  entry_count: z.int().describe("files, directories and links; counted up to 100"),
  bytes_written: z.number().describe("bytes of the files that were counted"),
  counted_all: z.boolean().describe("false: there is more than was counted"),
};

export const paused = z.object({
  reason: z.enum(["host_disk_full"]),
  message: z.string(),
  at: z.string().describe("RFC 3339 time"),
});

export const workspaceSummary = z.object({
  workspace_id: z.string(),
  name: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  environment: z.string(),
  environment_version: z.string(),
  state: z.enum(["started", "stopped"]),
  workspace_path: z.string(),
  directory: z.string().nullable().describe("directory on this host that it was made from; null: none was said"),
  workspace_seed: z.object({
    mode: z.enum(["empty", "directory", "tar_archive"]).describe("where its first content came from"),
    seed_path: z.string().nullable().describe("the directory or archive on the host"),
    seed_id: z.string().nullable().describe("the seed that it shares with others; null: it has none, or took it in"),
    entry_count: z.int(),
    bytes_written: z.number(),
    warnings: z.array(z.string()).describe("what was left out, taken out, or may be secret"),
  }),
  machine: z.enum(MACHINE_NAMES).describe("what it runs on, or ran on last"),
  execution_mode: executionMode,
  vm_id: z.string().nullable().describe("its machine, while it is started"),
  isolation: isolation.nullable(),
  confinement: confinement.nullable(),
  vcpu_count: z.int(),
  mem_mib: z.int(),
  ttl_seconds: z.int(),
  created_at: z.string().describe("RFC 3339 time"),
  last_activity_at: z.string().describe("RFC 3339 time"),
  command_count: z.int().describe("commands since it was made or reset"),
  running_commands: z.int(),
  snapshot_count: z.int().describe("the baseline not counted"),
  reset_count: z.int(),
  last_reset_at: z.string().nullable(),
  changed: z.boolean().describe("whether its tree may differ from the baseline"),
  pending_reset: z
    .string()
    .nullable()
    .describe("snapshot that the next start makes it a copy of: a reset was not finished"),
  stopped: z
    .object({ reason: stopReason, message: z.string(), at: z.string() })
    .nullable()
    .describe("why it is stopped"),
  paused: paused.nullable().describe("why its machine stands still though it is started; it goes on by itself"),
  volume_bytes: z.number().describe("size of its volume; 2 GiB of that are kept for when it is full"),
  disk_bytes: z.number().describe("what its volume takes on the host's disk"),
  deleted_at: z.string().nullable().describe("when it was moved to the trash"),
});

/** What happens while a workspace is made: the machine's events, and how far its seed is if it is a new one. */
export const createEvent = z.discriminatedUnion("type", [
  ...machineEvent.options,
  z.object({
    type: z.literal("seed"),
    phase: z
      .enum(["read", "fill", "compare", "sprout"])
      .describe("read: from the host; fill: into the seed; compare: with its source; sprout: the first volume of it"),
    entries: z.int().describe("names so far"),
    bytes: z.number().describe("bytes so far"),
  }),
]);

export const snapshotSummary = z.object({
  workspace_id: z.string(),
  snapshot_name: z.string(),
  kind: z.enum(["baseline", "named"]),
  created_at: z.string(),
  ...treeSize,
  deletable: z.boolean(),
});

/** What snapshots pin. */
export const snapshotPins = z.object({
  counted_at: z
    .string()
    .nullable()
    .describe("RFC 3339 time; of a stopped workspace the time of its stop; null: it is not known"),
  unknown: z.string().nullable().describe("why it is not known"),
  snapshots: z.array(
    z.object({
      snapshot_name: z.string(),
      bytes_pinned: z.number().nullable().describe("what would be free if only this one was deleted; null: not known"),
    }),
  ),
});

export const loggedCommand = z.object({
  sequence: z.int(),
  command: z.string(),
  cwd: z.string(),
  exit_code: z.int(),
  duration_ms: z.number(),
  recorded_at: z.string().describe("RFC 3339 time"),
  stdout: z.string().describe("its first 64 KiB, as UTF-8"),
  stderr: z.string().describe("its first 64 KiB, as UTF-8"),
  stdout_dropped_bytes: z.number(),
  stderr_dropped_bytes: z.number(),
  interrupted: z
    .string()
    .optional()
    .describe("what ended the command from outside, as a stop of its workspace, or a server that was killed"),
});

export type Paused = z.infer<typeof paused>;
export type WorkspaceSummary = z.infer<typeof workspaceSummary>;
export type CreateEvent = z.infer<typeof createEvent>;
export type SnapshotPins = z.infer<typeof snapshotPins>;
export type SnapshotSummary = z.infer<typeof snapshotSummary>;
export type LoggedCommand = z.infer<typeof loggedCommand>;
export type StopReason = z.infer<typeof stopReason>;
