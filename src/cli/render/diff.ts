/** What a diff shows beside the patch. */
import type { DiffResult, DiffSummary } from "../../contract/diff-operations.ts";
import { printable } from "../printable.ts";

/** The line that comes before a patch; git passes over it. */
export function diffSummaryLine(workspaceId: string, summary: DiffSummary): string {
  const { total, added, modified, deleted, type_changed, text_patched, non_text } = summary;
  const facts = { total, added, modified, deleted, type_changed, text_patched, non_text };
  const words = Object.entries(facts).map(([name, count]) => `${name}=${count}`);
  return `[workspace-diff] workspace_id=${workspaceId} ${words.join(" ")}\n`;
}

/** A path a line. */
export function changedNames({ entries }: DiffResult): string {
  return entries.map(({ path }) => `${printable(path)}\n`).join("");
}

/** A line for each path: how many lines, or bytes. */
export function changedStat({ entries }: DiffResult): string {
  const width = Math.min(60, Math.max(0, ...entries.map(({ path }) => printable(path).length)));
  return entries.map((entry) => ` ${printable(entry.path).padEnd(width)} | ${amountOf(entry)}\n`).join("");
}

function amountOf(entry: DiffResult["entries"][number]): string {
  const from = entry.size_from ?? 0;
  const to = entry.size_to ?? 0;
  if (entry.renamed !== null) return entry.status === "deleted" ? `now ${printable(entry.renamed)}` : "renamed";
  if (entry.patch === "text") return `+${entry.lines_added} -${entry.lines_removed}`;
  if (entry.patch === "none") return entry.not_in_patch.join(", ");
  return `${entry.patch}, ${from} -> ${to} bytes`;
}

/** What a reader of the patch would miss. */
export function diffNotes(result: DiffResult, { binary }: { binary: boolean }): string[] {
  const { summary, entries, git } = result;
  const lost = Object.entries(summary.not_in_patch)
    .toSorted(([one], [other]) => one.localeCompare(other))
    .map(([what, count]) => `${what} (${count})`);
  const byName = entries.filter(({ patch, renamed }) => renamed === null && (patch === "binary" || patch === "large"));
  return [
    ...(lost.length === 0 ? [] : [`not in the patch, for git has no words for it: ${lost.join(", ")}`]),
    ...(byName.length === 0 || binary ? [] : [`not in the patch: ${byName.length} binary or large, with --binary`]),
    ...(summary.ignored === 0 ? [] : [`ignored by git: ${summary.ignored}, with --include-ignored`]),
    ...(result.entries_dropped === 0 ? [] : [`not listed: ${result.entries_dropped} more paths`]),
    ...(git.head_from === git.head_to ? [] : [headNote(git)]),
  ].map((note) => `[workspace-diff] ${note}`);
}

function headNote({ head_from: from, head_to: to, commits }: DiffResult["git"]): string {
  const count = commits === null ? "" : ` commits=${commits}`;
  return `not in the patch: HEAD ${from ?? "none"} -> ${to ?? "none"}${count}`;
}
