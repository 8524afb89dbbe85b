/** `pyro workspace sync push`, `export` and `file …`. */
import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import type { CopyEvent, ExportResult, SyncResult } from "../../contract/file-operations.ts";
import { PyroError } from "../../contract/error.ts";
import type { Pyro } from "../../sdk/pyro.ts";
import { copyReporter } from "../copy-progress.ts";
import type { CliCommand, Invocation } from "../invocation.ts";
import { toJson } from "../json.ts";
import { printable } from "../printable.ts";
import { edited, exported, fileList, foundLines, synced, written } from "../render/file.ts";
import { answering, showAnswer } from "./answer.ts";

type ExportInput = Parameters<Pyro["workspace"]["export"]>[0];
type PushInput = Parameters<Pyro["workspace"]["sync"]["push"]>[0];
type ReadInput = Parameters<Pyro["workspace"]["file"]["read"]>[0];
type WriteInput = Parameters<Pyro["workspace"]["file"]["write"]>[0];

export const edit = answering((pyro) => pyro.workspace.file.edit, edited);
export const search = answering((pyro) => pyro.workspace.file.search, foundLines);

/** The rest of a list that was cut is had with a flag, which is no part of the list. */
export const list: CliCommand = async (invocation) => {
  const { pyro, input, interruption, json, output } = invocation;
  const listed = await pyro.workspace.file.list(input as { workspace: string }, { signal: interruption.signal });
  if (!json && listed.next !== null) output.note(`[workspace-file-list] more=yes next=${listed.next}`);
  return showAnswer(invocation, listed, fileList);
};

export const push: CliCommand = async (invocation) => {
  const { pyro, input, interruption, output } = invocation;
  const result = await watched(invocation, async (onEvent) => {
    return await pyro.workspace.sync.push(input as unknown as PushInput, { signal: interruption.signal, onEvent });
  });
  warn(result.workspace_sync, invocation);
  return showAnswer({ ...invocation, output }, result, synced);
};

/** Into a path, or as an archive to standard output, where then nothing else goes. */
export const exportFiles: CliCommand = async (invocation) => {
  const { pyro, interruption, json, output } = invocation;
  const input = invocation.input as unknown as ExportInput;
  if (input.tar === undefined) {
    const result = await watched(invocation, async (onEvent) => {
      return await pyro.workspace.export(input, { signal: interruption.signal, onEvent });
    });
    warn(result, invocation);
    return showAnswer(invocation, result, exported);
  }
  if (process.stdout.isTTY || json) {
    throw new PyroError("invalid_argument", "an archive is nothing for a terminal, and goes where --json would", {
      remedy: "write it into a pipe or file: pyro workspace export api src --tar - > src.tar",
    });
  }
  const result = await pyro.workspace.export(input, { signal: interruption.signal, stdout: process.stdout });
  warn(result, invocation);
  output.note(exported(result).trimEnd());
  return 0;
};

/** The bytes as they are; where there is more is said on standard error. */
export const read: CliCommand = async ({ pyro, input, interruption, json, output }) => {
  const { signal } = interruption;
  const range = await pyro.workspace.file.read(input as unknown as ReadInput, { signal });
  if (json) {
    output.result(toJson(range));
    return 0;
  }
  const { content, content_base64: base64, next_offset: next, size } = range;
  const bytes = base64 === undefined ? Buffer.from(content) : Buffer.from(base64, "base64");
  // A terminal is not driven by what a guest has written.
  const shown = process.stdout.isTTY
    ? content
        .split("\n")
        .map((line) => printable(line))
        .join("\n")
    : bytes;
  process.stdout.write(shown);
  if (next !== null) output.note(`[workspace-file-read] size=${size} more=yes next_offset=${next}`);
  return 0;
};

/** Its content is a flag's, a file's or standard input's. */
export const write: CliCommand = async (invocation) => {
  const { pyro, extras, interruption } = invocation;
  const input = invocation.input as unknown as WriteInput;
  const from = extras["text-file"];
  const content = typeof from === "string" ? { content_base64: (await contentOf(from)).toString("base64") } : {};
  const result = await pyro.workspace.file.write({ ...input, ...content }, { signal: interruption.signal });
  return showAnswer(invocation, result, written);
};

async function contentOf(path: string): Promise<Buffer> {
  try {
    return path === "-" ? await buffer(process.stdin) : await readFile(path);
  } catch (cause) {
    throw new PyroError("not_found", `${path} cannot be read`, { cause });
  }
}

async function watched<Result>(
  { output, json }: Invocation,
  call: (onEvent: (event: CopyEvent) => void) => Promise<Result>,
): Promise<Result> {
  const reporter = copyReporter(output);
  try {
    return await call((event) => (json ? undefined : reporter.report(event)));
  } finally {
    reporter.end();
  }
}

function warn(
  { warnings }: Pick<SyncResult["workspace_sync"] | ExportResult, "warnings">,
  { output, json }: Invocation,
): void {
  if (!json) for (const warning of warnings) output.note(`[warning] ${printable(warning)}`);
}
