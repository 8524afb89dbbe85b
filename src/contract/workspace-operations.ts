/** Workspaces: machines with a tree that stays, and can be taken back. */
import * as z from "zod";
import { TRASH_DAYS, TTL_SECONDS_DEFAULT, VOLUME_GIB_MAX } from "./limits.ts";
import { operation } from "./operation.ts";
import { BYTE_STREAM_FIELDS, environmentName, execOptions, execResult, machineEvent, machineOptions } from "./run.ts";
import {
  BASELINE_NAME,
  createEvent,
  hostDirectory,
  label,
  loggedCommand,
  newWorkspaceName,
  snapshotName,
  snapshotPins,
  snapshotSummary,
  treeSize,
  ttlSeconds,
  WORKSPACE_PATH,
  workspaceReference,
  workspaceSummary,
} from "./workspace.ts";

const CHANGING = { readOnly: false, destructive: false };
const DESTROYING = { readOnly: false, destructive: true };
const READING = { readOnly: true, destructive: false };

const workspace = workspaceReference;
/** What becomes a word of a command line. */
const text = z
  .string()
  .min(1)
  .regex(/^[^\0]*$/, "it has no NUL bytes");
const inTrash = z.boolean().default(false).describe("those that were deleted and can be restored");

export const workspaceCreate = operation({
  name: "workspace.create",
  summary: "Make a workspace: a machine with a /workspace that stays until it is deleted",
  input: z.object({
    environment: environmentName,
    name: newWorkspaceName.optional().describe("name that can be used instead of the id"),
    label: z.array(label).default([]).describe("KEY=VALUE to find it by, repeatable"),
    ttl_seconds: ttlSeconds.default(TTL_SECONDS_DEFAULT),
    seed_path: z
      .string()
      .min(1)
      .optional()
      .describe("directory, .tar, .tar.gz, .tgz or .tar.zst on this host that /workspace begins with; it is copied"),
    seed_ignore: z.boolean().default(false).describe("with seed_path: without what git ignores in that directory"),
    directory: hostDirectory.optional(),
    ...machineOptions,
  }),
  output: workspaceSummary,
  events: createEvent,
  // The CLI says where it was called.
  plumbing: ["directory"],
  hostPaths: { seed_path: { whole: true } },
  place: "server",
  cli: {
    path: ["workspace", "create"],
    positionals: ["environment"],
    examples: [
      "pyro workspace create debian:12",
      "pyro workspace create debian:12 --seed-path ./repo --seed-ignore",
      "pyro ws create debian:12-build --name api --label team=web",
    ],
  },
  mcp: CHANGING,
});

export const workspaceList = operation({
  name: "workspace.list",
  summary: "List workspaces, the one used last first",
  input: z.object({
    label: z.array(label).default([]).describe("only those with this KEY=VALUE, repeatable"),
    deleted: inTrash,
  }),
  output: z.object({ count: z.int(), workspaces: z.array(workspaceSummary), unreadable: z.array(z.string()) }),
  events: null,
  place: "server",
  cli: { path: ["workspace", "list"], examples: ["pyro workspace list", "pyro ws list --label team=web --json"] },
  mcp: READING,
});

export const workspaceStatus = operation({
  name: "workspace.status",
  summary: "Show one workspace, and what its snapshots pin",
  input: z.object({ workspace }),
  output: workspaceSummary.extend({ snapshot_pins: snapshotPins }),
  events: null,
  place: "server",
  cli: { path: ["workspace", "status"], positionals: ["workspace"], examples: ["pyro workspace status api"] },
  mcp: READING,
});

export const workspaceUpdate = operation({
  name: "workspace.update",
  summary: "Change a workspace's name, labels or idle time, or make its volume larger",
  input: z.object({
    workspace,
    name: newWorkspaceName.optional().describe("new name"),
    remove_name: z.boolean().default(false).describe("take its name away"),
    label: z.array(label).default([]).describe("KEY=VALUE to add or change, repeatable"),
    remove_label: z.array(z.string().min(1)).default([]).describe("KEY of a label to take away, repeatable"),
    ttl_seconds: ttlSeconds.optional(),
    volume_gib: z
      .int()
      .min(1)
      .max(VOLUME_GIB_MAX)
      .optional()
      .describe(`new size of its volume in GiB, started or stopped: larger than now, at most ${VOLUME_GIB_MAX}`),
  }),
  output: workspaceSummary,
  events: null,
  place: "server",
  cli: {
    path: ["workspace", "update"],
    positionals: ["workspace"],
    examples: [
      "pyro workspace update api --label owner=me --ttl-seconds 7200",
      "pyro workspace update api --volume-gib 128",
    ],
  },
  mcp: CHANGING,
});

export const workspaceStart = operation({
  name: "workspace.start",
  summary: "Start a stopped workspace: its files are as they were, its processes are not",
  input: z.object({ workspace }),
  output: workspaceSummary,
  events: machineEvent,
  place: "server",
  cli: { path: ["workspace", "start"], positionals: ["workspace"], examples: ["pyro workspace start api"] },
  mcp: CHANGING,
});

export const workspaceStop = operation({
  name: "workspace.stop",
  summary: "Stop a workspace: its processes end, its files stay",
  input: z.object({ workspace }),
  output: workspaceSummary,
  events: null,
  place: "server",
  cli: { path: ["workspace", "stop"], positionals: ["workspace"], examples: ["pyro workspace stop api"] },
  mcp: CHANGING,
});

export const workspaceFlatten = operation({
  name: "workspace.flatten",
  summary: "Copy a started workspace's seed into its volume, which then needs the seed no more",
  input: z.object({ workspace }),
  output: workspaceSummary,
  events: null,
  place: "server",
  cli: { path: ["workspace", "flatten"], positionals: ["workspace"], examples: ["pyro workspace flatten api"] },
  mcp: CHANGING,
});

export const workspaceDelete = operation({
  name: "workspace.delete",
  summary: `Delete a workspace; for ${TRASH_DAYS} days it can be restored`,
  input: z.object({
    workspace,
    force: z.boolean().default(false).describe("also when its files were changed"),
    purge: z.boolean().default(false).describe("for good: it cannot be restored"),
  }),
  output: z.object({ workspace_id: z.string(), deleted: z.literal(true), purged: z.boolean() }),
  events: null,
  place: "server",
  cli: {
    path: ["workspace", "delete"],
    positionals: ["workspace"],
    examples: ["pyro workspace delete api", "pyro workspace delete api --force --purge"],
  },
  mcp: DESTROYING,
});

export const workspaceRestore = operation({
  name: "workspace.restore",
  summary: "Take a deleted workspace out of the trash",
  input: z.object({ workspace }),
  output: workspaceSummary,
  events: null,
  place: "server",
  cli: { path: ["workspace", "restore"], positionals: ["workspace"], examples: ["pyro workspace restore api"] },
  mcp: CHANGING,
});

export const workspaceExec = operation({
  name: "workspace.exec",
  summary: "Run one command in a workspace",
  input: z.object({ workspace, ...execOptions }),
  output: execResult.extend({
    workspace_id: z.string(),
    sequence: z.int().describe("number of the command in this workspace"),
    cwd: z.string(),
  }),
  events: null,
  plumbing: BYTE_STREAM_FIELDS,
  place: "server",
  cli: {
    path: ["workspace", "exec"],
    positionals: ["workspace"],
    rest: "command",
    short: { env: "e", cwd: "w", user: "u" },
    examples: ["pyro workspace exec api -- git status", "pyro ws exec api --user 1000 -- sh -c 'npm ci && npm test'"],
  },
  mcp: CHANGING,
});

export const workspaceLogs = operation({
  name: "workspace.logs",
  summary: "Show what ran in a workspace, and what it printed",
  input: z.object({ workspace }),
  output: z.object({ workspace_id: z.string(), count: z.int(), entries: z.array(loggedCommand) }),
  events: null,
  place: "server",
  cli: { path: ["workspace", "logs"], positionals: ["workspace"], examples: ["pyro workspace logs api"] },
  mcp: READING,
});

export const workspacePull = operation({
  name: "workspace.pull",
  summary:
    "Bring the commits of a workspace's git repository, with what is not committed, into one on the host as a branch",
  input: z.object({
    workspace,
    branch: text.max(200).describe("branch of the host's repository that becomes what the workspace has"),
    repository: text
      .optional()
      .describe("directory on this host in the repository that gets the commits; by default the current one"),
    path: text
      .startsWith("/")
      .default(WORKSPACE_PATH)
      .describe("directory in the guest in the repository that has them"),
    message: text
      .max(10_000)
      .default("Changes from a pyro workspace")
      .describe("of the commit that is made of what is not committed"),
    force: z.boolean().default(false).describe("also when the branch loses commits that the workspace has not"),
  }),
  output: z.object({
    workspace_id: z.string(),
    repository: z.string(),
    branch: z.string(),
    commit: z.string().describe("what the branch is now"),
    before: z.string().nullable().describe("what it was before; null: there was none"),
    change: z.enum(["created", "forwarded", "replaced", "kept"]),
    new_commits: z.number().describe("how many commits the host's repository did not have"),
    made_commit: z.boolean().describe("whether the last of them was made of what was not committed"),
  }),
  events: null,
  hostPaths: { repository: { whole: true, absent: "." } },
  place: "server",
  cli: {
    path: ["workspace", "pull"],
    positionals: ["workspace"],
    short: { branch: "b", message: "m" },
    examples: ["pyro workspace pull api --branch agent/fix", "pyro ws pull -b agent/fix -m 'What the agent did'"],
  },
  mcp: CHANGING,
});

export const workspaceReset = operation({
  name: "workspace.reset",
  summary: "Make a workspace's machine new and its tree that of a snapshot",
  input: z.object({
    workspace,
    snapshot: snapshotName.default(BASELINE_NAME).describe("name of the snapshot; baseline: as it was made"),
  }),
  output: workspaceSummary.extend({
    workspace_reset: z.object({
      snapshot_name: z.string(),
      kind: z.enum(["baseline", "named"]),
      destination: z.string(),
      ...treeSize,
    }),
  }),
  events: machineEvent,
  place: "server",
  cli: {
    path: ["workspace", "reset"],
    positionals: ["workspace"],
    examples: ["pyro workspace reset api", "pyro workspace reset api --snapshot checkpoint"],
  },
  mcp: DESTROYING,
});

export const snapshotCreate = operation({
  name: "workspace.snapshot.create",
  summary: "Keep a workspace's tree as it is now under a name",
  input: z.object({ workspace, snapshot: snapshotName }),
  output: z.object({ workspace_id: z.string(), snapshot: snapshotSummary }),
  events: null,
  place: "server",
  cli: {
    path: ["workspace", "snapshot", "create"],
    positionals: ["workspace", "snapshot"],
    examples: ["pyro workspace snapshot create api checkpoint"],
  },
  mcp: CHANGING,
});

export const snapshotList = operation({
  name: "workspace.snapshot.list",
  summary: "List a workspace's snapshots, the baseline first",
  input: z.object({ workspace }),
  output: z.object({ workspace_id: z.string(), count: z.int(), snapshots: z.array(snapshotSummary) }),
  events: null,
  place: "server",
  cli: {
    path: ["workspace", "snapshot", "list"],
    positionals: ["workspace"],
    examples: ["pyro workspace snapshot list api"],
  },
  mcp: READING,
});

export const snapshotDelete = operation({
  name: "workspace.snapshot.delete",
  summary: "Give a snapshot up",
  input: z.object({ workspace, snapshot: snapshotName }),
  output: z.object({ workspace_id: z.string(), snapshot_name: z.string(), deleted: z.literal(true) }),
  events: null,
  place: "server",
  cli: {
    path: ["workspace", "snapshot", "delete"],
    positionals: ["workspace", "snapshot"],
    examples: ["pyro workspace snapshot delete api checkpoint"],
  },
  mcp: DESTROYING,
});

export type WorkspacePulled = z.infer<typeof workspacePull.output>;
