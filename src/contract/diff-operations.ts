/** What a workspace has become: the list of what differs, and a patch that git takes. */
import * as z from "zod";
import { DIFF_ENTRIES_MAX } from "./limits.ts";
import { operation } from "./operation.ts";
import { BYTE_STREAM_FIELDS, execOptions } from "./run.ts";
import { BASELINE_NAME, snapshotName, workspaceReference } from "./workspace.ts";

const { stream_id, output } = execOptions;

export const diffSummary = z.object({
  total: z.int().describe("paths that differ; a file with a new name is one that was added and one that was deleted"),
  added: z.int(),
  modified: z.int(),
  deleted: z.int(),
  type_changed: z.int().describe("paths that are of another kind, as a link instead of a file"),
  text_patched: z.int().describe("paths that the patch has as text"),
  non_text: z.int().describe("the others: binary or large files, and what git has no words for"),
  renamed: z.int().describe("files that have a new name and the old content"),
  ignored: z.int().describe("paths that differ, that git ignores and that are not in this; a directory is one"),
  not_in_patch: z
    .record(z.string(), z.int())
    .describe("paths of which git cannot have something, by what that is: owner, mode, empty directory, hard link, …"),
});

export const diffEntry = z.object({
  path: z.string().describe("from /workspace; what is no UTF-8 is replaced"),
  path_base64: z.string().optional().describe("the exact bytes, when they are not valid UTF-8"),
  renamed: z.string().nullable().describe("the deleted path that has this content, or the added one"),
  status: z.enum(["added", "modified", "deleted", "type_changed"]),
  artifact_type: z.enum(["file", "symlink", "directory", "other"]).describe("what it is, or was"),
  patch: z
    .enum(["text", "binary", "large", "none"])
    .describe(
      "how a patch has it; binary and large ones only with their content asked for; none: git has no words for it",
    ),
  mode_from: z.string().nullable().describe("permission bits, octal"),
  mode_to: z.string().nullable().describe("permission bits, octal"),
  size_from: z.number().nullable().describe("bytes"),
  size_to: z.number().nullable().describe("bytes"),
  lines_added: z.int(),
  lines_removed: z.int(),
  not_in_patch: z.array(z.string()).describe("what git cannot have of it"),
});

const event = z.object({
  type: z.literal("summary"),
  workspace_id: z.string(),
  summary: diffSummary,
});

const snapshot = snapshotName.optional();

export const workspaceDiff = operation({
  name: "workspace.diff",
  summary: "Show what has changed in a workspace, as a patch that git takes",
  input: z.object({
    workspace: workspaceReference,
    from: snapshotName.default(BASELINE_NAME).describe("snapshot that it is compared with; default: as it was made"),
    to: snapshot.describe("snapshot that is compared; default: the workspace as it is now"),
    include_ignored: z.boolean().default(false).describe("also what git ignores"),
    binary: z.boolean().default(false).describe("binary and large files with their content, not by size"),
    stat: z.boolean().default(false).describe("only how many lines of each path"),
    name_only: z.boolean().default(false).describe("only the paths"),
    stream_id,
    stdin: z.literal(false).default(false).describe("it has no standard input"),
    output,
  }),
  output: z.object({
    workspace_id: z.string(),
    from: z.string().describe("name of the snapshot"),
    to: z.string().nullable().describe("name of the snapshot; null: as it was when this was called"),
    changed: z.boolean(),
    summary: diffSummary,
    git: z
      .object({
        head_from: z.string().nullable(),
        head_to: z.string().nullable(),
        commits: z.int().nullable().describe("commits that head_to has and head_from has not; null: git did not say"),
      })
      .describe("the repository at /workspace, which is never in a patch"),
    entries: z.array(diffEntry),
    entries_dropped: z.int().describe(`entries past the first ${DIFF_ENTRIES_MAX}`),
    patch: z.string().describe("as UTF-8; what is not valid is replaced"),
    patch_base64: z.string().optional().describe("the exact bytes, when they are not valid UTF-8"),
    patch_dropped_bytes: z.number().describe("bytes past the capture limit that are not in patch"),
  }),
  events: event,
  plumbing: BYTE_STREAM_FIELDS,
  place: "server",
  cli: {
    path: ["workspace", "diff"],
    positionals: ["workspace"],
    examples: [
      "pyro workspace diff api",
      "pyro ws diff api --binary | git apply",
      "pyro ws diff api --from checkpoint --output api.patch",
    ],
  },
  mcp: { readOnly: true, destructive: false },
});

export type DiffSummary = z.infer<typeof diffSummary>;
export type DiffEntry = z.infer<typeof diffEntry>;
export type DiffResult = z.infer<typeof workspaceDiff.output>;
export type DiffEvent = z.infer<typeof event>;
