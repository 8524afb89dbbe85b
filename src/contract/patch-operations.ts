/** Changing a workspace by a patch. */
import * as z from "zod";
import { PATCH_ENTRIES_MAX, PATCH_TEXT_BYTES_MAX } from "./limits.ts";
import { operation } from "./operation.ts";
import { BYTE_STREAM_FIELDS, execOptions } from "./run.ts";
import { workspaceReference } from "./workspace.ts";

/** Parts that a path can have are fewer. */
const STRIP_MAX = 64;

const exact = z.string().optional().describe("the exact bytes, where they are no UTF-8");
const number = z.int().nullable();

/** A hunk that is not where its numbers say. */
const movedHunk = z.object({
  hunk: z.int().describe("of the file's hunks, from 1"),
  line: z.int().describe("the line of the file before that it begins at, from 1"),
  offset: z.int().describe("lines further down than its numbers say"),
});

export const patchedFile = z.object({
  path: z.string().describe("from /workspace"),
  path_base64: exact,
  from: z.string().nullable().describe("the file that it was, or is a copy of"),
  from_base64: exact,
  status: z.enum(["added", "modified", "deleted", "renamed", "copied"]),
  lines_added: z.int(),
  lines_removed: z.int(),
  moved_hunks: z.array(movedHunk),
});

/** Why a patch does not apply, in one word. */
export const PATCH_FAILURE_REASONS = [
  "no_match",
  "overlap",
  "missing",
  "exists",
  "path",
  "kind",
  "content",
  "limit",
  "unsupported",
] as const;

export const patchFailure = z.object({
  path: z.string().describe("from /workspace, as the patch has it"),
  path_base64: exact,
  reason: z
    .enum(PATCH_FAILURE_REASONS)
    .describe(
      "no_match: other lines are there; overlap: parts of the patch are in each other's way; missing, exists: the file; path: the name leads " +
        "elsewhere; kind: a link, directory or device; content: a binary file is another one, or a deleted one has more; limit: too large",
    ),
  hunk: number.describe("of the file's hunks, from 1; null: the file as a whole"),
  patch_line: z.int().describe("where the hunk or the file begins in the patch, from 1"),
  line: number.describe("the line of the file that is not as expected, from 1"),
  expected: z.string().nullable().describe("what the patch expects there, cut"),
  expected_base64: exact,
  found: z.string().nullable().describe("what is there, cut; null: nothing"),
  found_base64: exact,
  message: z.string(),
});

export const patchApply = operation({
  name: "workspace.patch.apply",
  summary: "Apply a patch to the files of a started workspace, as git apply does: all of it or nothing",
  input: z.object({
    workspace: workspaceReference,
    patch_path: z
      .string()
      .min(1)
      .optional()
      .describe("file of this host that has the patch; on the command line - or none is standard input"),
    patch: z
      .string()
      .refine(
        (text) => Buffer.byteLength(text) <= PATCH_TEXT_BYTES_MAX,
        `at most ${PATCH_TEXT_BYTES_MAX} bytes; a larger one comes from a file`,
      )
      .optional()
      .describe("the patch itself"),
    strip: z
      .int()
      .min(0)
      .max(STRIP_MAX)
      .optional()
      .describe(
        "leading parts that are taken off each name; default: 1, and 0 for names without a slash that are not git's",
      ),
    reverse: z.boolean().default(false).describe("take the patch back"),
    check: z.boolean().default(false).describe("only say whether it applies"),
    stream_id: execOptions.stream_id,
    stdin: z.boolean().default(false).describe("whether the caller sends the patch through its byte stream"),
    output: z.literal("result").default("result").describe("it has no output besides its result"),
  }),
  output: z.object({
    workspace_id: z.string(),
    applies: z.boolean().describe("nothing is in its way; otherwise `failures` says what, and nothing was changed"),
    applied: z.boolean().describe("the workspace is changed; false also with `check`"),
    file_count: z.int(),
    files: z.array(patchedFile).describe(`the first ones, at most ${PATCH_ENTRIES_MAX}`),
    failure_count: z.int().describe("of one file no more than 200 are looked for"),
    failures: z.array(patchFailure).describe("the first ones"),
  }),
  events: null,
  plumbing: BYTE_STREAM_FIELDS,
  hostPaths: { patch_path: { whole: true } },
  place: "server",
  cli: {
    path: ["workspace", "patch", "apply"],
    positionals: ["workspace", "patch_path"],
    short: { strip: "p", reverse: "R" },
    examples: [
      "pyro workspace patch apply api change.patch",
      "git diff | pyro workspace patch apply api",
      "pyro ws patch apply api change.patch --check",
    ],
  },
  mcp: { readOnly: false, destructive: true },
});

export type PatchResult = z.infer<typeof patchApply.output>;
export type PatchedFile = z.infer<typeof patchedFile>;
export type PatchFailure = z.infer<typeof patchFailure>;
