/** What came of a patch, as a person reads it. */
import type { PatchedFile, PatchFailure, PatchResult } from "../../contract/patch-operations.ts";
import { printable } from "../printable.ts";

/** What `workspace patch apply` prints: a line about all of it, then one for each file or failure. */
export function patched(result: PatchResult): string {
  const { workspace_id: id, applies, applied, file_count: files, failure_count: failures } = result;
  const facts = [
    `workspace_id=${id}`,
    `applies=${applies ? "yes" : "no"}`,
    `applied=${applied ? "yes" : "no"}`,
    `file_count=${files}`,
    `failure_count=${failures}`,
  ];
  const shown = applies ? result.files.map(fileLine) : result.failures.flatMap(failureLines);
  const more = applies ? files - result.files.length : failures - result.failures.length;
  const rest = more > 0 ? [`and ${more} more`] : [];
  return [`[workspace-patch] ${facts.join(" ")}`, ...shown, ...rest].map((line) => `${line}\n`).join("");
}

function fileLine({ path, from, status, moved_hunks: moved }: PatchedFile): string {
  const old = from === null ? "" : `${printable(from)} -> `;
  const hunks = moved.map(({ hunk, line, offset }) => `hunk ${hunk} at line ${line}, offset ${offset}`);
  const offsets = hunks.length === 0 ? "" : ` (${hunks.join("; ")})`;
  return `${status} ${old}${printable(path)}${offsets}`;
}

function failureLines({ path, hunk, line, patch_line: at, message, expected, found }: PatchFailure): string[] {
  const where = [hunk === null ? "" : `hunk ${hunk}, `, line === null ? "" : `line ${line}, `].join("");
  const lines = [`${printable(path)}: ${where}line ${at} of the patch: ${printable(message)}`];
  if (expected !== null) lines.push(`  expected: ${printable(expected)}`);
  if (found !== null) lines.push(`  found: ${printable(found)}`);
  return lines;
}
