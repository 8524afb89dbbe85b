/** Files of a workspace: in, out, and single ones. */
import * as z from "zod";
import { FILE_ENTRIES_MAX, FILE_READ_BYTES_DEFAULT, FILE_READ_BYTES_MAX, FILE_WRITE_BYTES_MAX } from "./limits.ts";
import { operation } from "./operation.ts";
import { BYTE_STREAM_FIELDS, execOptions, executionMode } from "./run.ts";
import { WORKSPACE_PATH, workspaceReference } from "./workspace.ts";

const CHANGING = { readOnly: false, destructive: false };
const DESTROYING = { readOnly: false, destructive: true };
const READING = { readOnly: true, destructive: false };

const workspace = workspaceReference;
/** Longest path that a guest's agent takes. */
const PATH_CHARS_MAX = 16_384;
const path = z.string().min(1).max(PATH_CHARS_MAX).describe(`path from ${WORKSPACE_PATH}, or absolute in it`);
const exact = z.string().optional().describe("the exact bytes, where they are no UTF-8");
const warnings = z.array(z.string()).describe("what was left out or changed on the way");

/** How far a copy is. */
export const copyEvent = z.object({
  type: z.literal("copy"),
  entries: z.int().describe("files, directories and links so far"),
  bytes: z.number(),
});

export const syncPush = operation({
  name: "workspace.sync.push",
  summary: "Copy a directory or archive into a started workspace: all of it or nothing",
  input: z.object({
    workspace,
    source_path: z.string().min(1).describe("directory, .tar, .tar.gz, .tgz or .tar.zst on this host"),
    dest: path.default(WORKSPACE_PATH).describe(`directory that it is put over, made if it is not there`),
    ignore: z.boolean().default(false).describe("without what git ignores in that directory"),
  }),
  output: z.object({
    workspace_id: z.string(),
    execution_mode: executionMode,
    workspace_sync: z.object({
      mode: z.enum(["directory", "tar_archive"]),
      source_path: z.string(),
      destination: z.string(),
      entry_count: z.int(),
      bytes_written: z.number(),
      replaced_count: z.int().describe("files and links that took the place of others"),
      warnings,
    }),
  }),
  events: copyEvent,
  hostPaths: { source_path: { whole: true } },
  place: "server",
  cli: {
    path: ["workspace", "sync", "push"],
    positionals: ["workspace", "source_path"],
    examples: ["pyro workspace sync push api ./changes", "pyro workspace sync push api ./changes.tar.gz --dest src"],
  },
  mcp: CHANGING,
});

export const workspaceExport = operation({
  name: "workspace.export",
  summary: "Copy files, directories and links out of a started workspace, as they are at one moment",
  input: z.object({
    workspace,
    path: z.array(path).min(1).max(1000).describe(`what is copied: paths from ${WORKSPACE_PATH}, or absolute in it`),
    output_path: z
      .string()
      .min(1)
      .optional()
      .describe("what one path becomes on this host; of several, the directory that has them"),
    overwrite: z.boolean().default(false).describe("also when there is something, which is replaced by one rename"),
    tar: z.enum(["-"]).optional().describe("a tar archive on standard output instead"),
    umask: z.int().min(0).max(0o777).default(0o022).describe("the caller's, for directories that lead to what is made"),
    ...byteStreamFields(),
  }),
  output: z.object({
    workspace_id: z.string(),
    workspace_path: z.string(),
    output_path: z.string().nullable().describe("null: an archive"),
    artifact_type: z.enum(["file", "directory", "symlink", "archive"]),
    entry_count: z.int(),
    bytes_written: z.number(),
    hard_link_count: z.int().describe("names of files that have other names in it"),
    warnings,
    execution_mode: executionMode,
  }),
  events: copyEvent,
  plumbing: [...BYTE_STREAM_FIELDS, "umask"],
  hostPaths: { output_path: { whole: false } },
  place: "server",
  cli: {
    path: ["workspace", "export"],
    positionals: ["workspace", "path"],
    flags: { output_path: "output" },
    short: { output_path: "o" },
    examples: [
      "pyro workspace export api src/note.txt --output ./note.txt",
      "pyro workspace export api src docs --output ./copy",
      "pyro workspace export api src --tar - | tar t",
    ],
  },
  mcp: DESTROYING,
});

function byteStreamFields(): Pick<typeof execOptions, (typeof BYTE_STREAM_FIELDS)[number]> {
  const { stream_id, stdin, output, terminal } = execOptions;
  return { stream_id, stdin, output, terminal };
}

export const fileEntry = z.object({
  path: z.string().describe(`from ${WORKSPACE_PATH}`),
  path_base64: exact,
  kind: z.enum(["file", "directory", "symlink", "other"]),
  size: z.number(),
  mode: z.string().describe("octal digits"),
  uid: z.int(),
  gid: z.int(),
  modified_at: z.string().describe("RFC 3339 time"),
  target: z.string().optional().describe("of a symbolic link"),
  target_base64: exact,
});

export const fileList = operation({
  name: "workspace.file.list",
  summary: "List what is in a directory of a started workspace",
  input: z.object({
    workspace,
    path: path.default(WORKSPACE_PATH),
    recursive: z.boolean().default(false).describe("also what is in the directories below"),
    limit: z.int().min(1).max(FILE_ENTRIES_MAX).default(1000).describe("entries at most"),
    after: z.string().optional().describe("`next` of the list that this one goes on with"),
  }),
  output: z.object({
    workspace_id: z.string(),
    path: z.string(),
    count: z.int(),
    entries: z.array(fileEntry),
    next: z.string().nullable().describe("there is more: `after` of the list that goes on"),
  }),
  events: null,
  place: "server",
  cli: {
    path: ["workspace", "file", "list"],
    positionals: ["workspace"],
    examples: ["pyro workspace file list api", "pyro workspace file list api --path src --recursive"],
  },
  mcp: READING,
});

export const fileRead = operation({
  name: "workspace.file.read",
  summary: "Read a file of a started workspace, or a range of it",
  input: z.object({
    workspace,
    path,
    offset: z.int().min(0).default(0).describe("byte to begin with"),
    max_bytes: z
      .int()
      .min(4)
      .max(FILE_READ_BYTES_MAX)
      .default(FILE_READ_BYTES_DEFAULT)
      .describe(`bytes at most, up to ${FILE_READ_BYTES_MAX}`),
  }),
  output: z.object({
    workspace_id: z.string(),
    path: z.string(),
    size: z.number().describe("bytes of the whole file"),
    mode: z.string().describe("octal digits"),
    offset: z.number(),
    content: z.string().describe("as UTF-8; what is not valid is replaced"),
    content_base64: exact,
    next_offset: z.number().nullable().describe("there is more, from this byte on"),
  }),
  events: null,
  place: "server",
  cli: {
    path: ["workspace", "file", "read"],
    positionals: ["workspace", "path"],
    examples: ["pyro workspace file read api src/note.txt", "pyro ws file read api big.log --offset 65536"],
  },
  mcp: READING,
});

/** In UTF-8. */
const fileText = z
  .string()
  .refine((text) => Buffer.byteLength(text) <= FILE_WRITE_BYTES_MAX, `at most ${FILE_WRITE_BYTES_MAX} bytes`);

export const fileWrite = operation({
  name: "workspace.file.write",
  summary: "Write a file of a started workspace, with the directories that lead to it; larger ones go by sync push",
  input: z.object({
    workspace,
    path,
    text: fileText.optional().describe("what it has then"),
    content_base64: z
      .base64()
      .max(Math.ceil(FILE_WRITE_BYTES_MAX / 3) * 4)
      .optional()
      .describe("the same, where it is no text"),
    mode: z
      .string()
      .regex(/^[0-7]{3,4}$/, "a mode has 3 or 4 octal digits")
      .optional()
      .describe("octal digits; default: what it had, or 644"),
  }),
  output: z.object({ workspace_id: z.string(), path: z.string(), size: z.number(), created: z.boolean() }),
  events: null,
  place: "server",
  cli: {
    path: ["workspace", "file", "write"],
    positionals: ["workspace", "path"],
    examples: [
      "pyro workspace file write api note.txt --text 'hello'",
      "pyro workspace file write api run.sh --mode 755 --text-file - < run.sh",
    ],
  },
  mcp: DESTROYING,
});

export const fileEdit = operation({
  name: "workspace.file.edit",
  summary: "Replace a text in a file of a started workspace; refused when it is not there, or there more than once",
  input: z.object({
    workspace,
    path,
    old: fileText.min(1).describe("the text, exactly"),
    new: fileText.describe("what takes its place"),
    all: z.boolean().default(false).describe("every one of them"),
  }),
  output: z.object({ workspace_id: z.string(), path: z.string(), size: z.number(), replaced_count: z.int() }),
  events: null,
  place: "server",
  cli: {
    path: ["workspace", "file", "edit"],
    positionals: ["workspace", "path"],
    examples: ["pyro workspace file edit api src/main.c --old 'return 1;' --new 'return 0;'"],
  },
  mcp: DESTROYING,
});

const contextLines = z.int().min(0).max(100);

export const fileSearch = operation({
  name: "workspace.file.search",
  summary: "Search the text of files of a started workspace with a regular expression, as ripgrep does",
  input: z.object({
    workspace,
    pattern: z.string().min(1).max(65_536).describe("regular expression, matched in single lines"),
    path: path.default(WORKSPACE_PATH).describe("directory or file to look in"),
    glob: z
      .array(z.string().min(1))
      .max(1000)
      .default([])
      .describe("only such files, as *.ts; with ! none of them; repeatable"),
    ignore_case: z.boolean().default(false).describe("upper and lower case are the same"),
    fixed: z.boolean().default(false).describe("the pattern is a text"),
    all: z.boolean().default(false).describe("also hidden files, and what git ignores"),
    before_context: contextLines.default(0).describe("lines before a match that are shown too"),
    after_context: contextLines.default(0).describe("lines after a match that are shown too"),
    limit: z.int().min(1).max(FILE_ENTRIES_MAX).default(200).describe("matching lines at most"),
  }),
  output: z.object({
    workspace_id: z.string(),
    count: z.int().describe("matching lines that are given"),
    lines: z.array(
      z.object({
        path: z.string(),
        path_base64: exact,
        line: z.int(),
        text: z.string(),
        text_base64: exact,
        context: z.boolean().describe("it is only near a match"),
        cut: z.boolean().describe("there is more of the line"),
      }),
    ),
    truncated: z.boolean().describe("there is more than `limit`, or than an answer holds: look in a smaller part"),
    searched_files: z.int(),
    binary_files: z.int().describe("files that were not looked through, as they are binary"),
  }),
  events: null,
  place: "server",
  cli: {
    path: ["workspace", "file", "search"],
    positionals: ["workspace", "pattern"],
    short: { ignore_case: "i", fixed: "F", glob: "g" },
    examples: [
      "pyro workspace file search api 'fn \\w+_test' --glob '*.rs'",
      "pyro ws file search api 'return 1' --fixed --path src --after-context 2",
    ],
  },
  mcp: READING,
});

export type CopyEvent = z.infer<typeof copyEvent>;
export type SyncResult = z.infer<typeof syncPush.output>;
export type ExportResult = z.infer<typeof workspaceExport.output>;
export type FileEntrySummary = z.infer<typeof fileEntry>;
