/** Files of a workspace, as a person reads them. */
import type { ExportResult, FileEntrySummary, SyncResult } from "../../contract/file-operations.ts";
import { printable } from "../printable.ts";

const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join("");

/** What `workspace sync push` prints. */
export function synced({ workspace_id: id, execution_mode: mode, workspace_sync: sync }: SyncResult): string {
  const facts = [
    `workspace_id=${id}`,
    `mode=${sync.mode}`,
    `source=${printable(sync.source_path)}`,
    `destination=${printable(sync.destination)}`,
    `entry_count=${sync.entry_count}`,
    `bytes_written=${sync.bytes_written}`,
    `execution_mode=${mode}`,
  ];
  return `[workspace-sync] ${facts.join(" ")}\n`;
}

/** What `workspace export` prints. */
export function exported(result: ExportResult): string {
  const facts = [
    `workspace_id=${result.workspace_id}`,
    `workspace_path=${printable(result.workspace_path)}`,
    `output_path=${result.output_path === null ? "-" : printable(result.output_path)}`,
    `artifact_type=${result.artifact_type}`,
    `entry_count=${result.entry_count}`,
    `bytes_written=${result.bytes_written}`,
    `execution_mode=${result.execution_mode}`,
  ];
  return `[workspace-export] ${facts.join(" ")}\n`;
}

/** One line for each entry: mode, size, time and path. */
export function fileList({ entries }: { entries: readonly FileEntrySummary[] }): string {
  return lines(
    entries.map(({ kind, mode, size, modified_at: time, path, target }) => {
      const mark = { file: "-", directory: "d", symlink: "l", other: "?" }[kind];
      const to = target === undefined ? "" : ` -> ${printable(target)}`;
      return `${mark}${mode} ${String(size).padStart(10)} ${time} ${printable(path)}${to}`;
    }),
  );
}

export function written(result: { path: string; size: number; created: boolean }): string {
  const { path, size, created } = result;
  return `[workspace-file-write] path=${printable(path)} size=${size} created=${created ? "yes" : "no"}\n`;
}

export function edited(result: { path: string; size: number; replaced_count: number }): string {
  return `[workspace-file-edit] path=${printable(result.path)} size=${result.size} replaced_count=${result.replaced_count}\n`;
}

interface FoundLine {
  readonly path: string;
  readonly line: number;
  readonly text: string;
  readonly context: boolean;
  readonly cut: boolean;
}

/** As ripgrep prints into a pipe: `path:line:text`, with dashes for lines that are only near a match. */
export function foundLines(result: { lines: readonly FoundLine[]; truncated: boolean }): string {
  const more = result.truncated ? ["[workspace-file-search] more=yes"] : [];
  const found = result.lines.map(({ path, line, text, context, cut }) => {
    const mark = context ? "-" : ":";
    return `${printable(path)}${mark}${line}${mark}${printable(text)}${cut ? "…" : ""}`;
  });
  return lines([...found, ...more]);
}
