/** Files of a workspace: in, out, and single ones. */
import type { CopyEvent, FileEntrySummary } from "../../contract/file-operations.ts";
import { PyroError } from "../../contract/error.ts";
import type { FileEntry } from "../../machine/guest-files.ts";
import { exportArchive, type ExportParts, exportTo, exportWarnings, shownPaths } from "../../workspace/files/export.ts";
import { syncPush } from "../../workspace/files/sync.ts";
import { shownPath, workspacePath } from "../../workspace/files/workspace-path.ts";
import type { ServerContext } from "../context.ts";
import { claimStreams, unlessAborted } from "../execution.ts";
import type { Handlers } from "../handler.ts";
import { textFields } from "./text-fields.ts";

type WorkspaceHandlers = Handlers["workspace"];

export function fileHandlers(context: ServerContext): Pick<WorkspaceHandlers, "sync" | "export" | "file"> {
  return {
    sync: { push: pushHandler(context) },
    export: exportHandler(context),
    file: { ...readingHandlers(context), ...writingHandlers(context) },
  };
}

function pushHandler({ workspaces }: ServerContext): WorkspaceHandlers["sync"]["push"] {
  return async ({ workspace, source_path: source, dest, ignore }, { signal, emit }) => {
    const found = workspaces.find(workspace);
    const destination = workspacePath(dest);
    const { program, scratch } = await workspaces.copying();
    const parts = { program, scratch, signal, onStep: stepsTo(emit) };
    const { synced, mode } = await found.changeFiles(async (files, machine) => {
      const done = await syncPush({ source, destination, ignoring: ignore }, { ...parts, files });
      return { synced: done, mode: machine.executionMode, volume: done.pushed.volume };
    }, signal);
    return {
      workspace_id: found.record.id,
      execution_mode: mode,
      workspace_sync: {
        mode: synced.mode,
        source_path: synced.source,
        destination: shownPath(destination),
        entry_count: synced.pushed.entries,
        bytes_written: synced.pushed.bytes,
        replaced_count: synced.pushed.replaced,
        warnings: [...synced.warnings],
      },
    };
  };
}

function exportHandler(context: ServerContext): WorkspaceHandlers["export"] {
  return async ({ workspace, path, output_path: target, overwrite, tar, umask, ...streaming }, { signal, emit }) => {
    const found = context.workspaces.find(workspace);
    const paths = path.map(workspacePath);
    if ((target === undefined) === (tar === undefined)) {
      throw new PyroError("invalid_argument", "an export goes to a path or into an archive", {
        remedy: "add --output PATH, or --tar -",
      });
    }
    const { program, place } = await context.workspaces.copying();
    const streams = await claimStreams(context, streaming);
    try {
      const { exported, mode } = await found.readFiles(async (files, machine) => {
        const parts: ExportParts = { files, program, signal, onStep: stepsTo(emit) };
        const into = async (): Promise<{ kind: "archive" | "file" | "directory" | "symlink" } & Counts> => {
          if (target !== undefined) return await exportTo({ paths, target, overwrite, umask }, { ...parts, place });
          if (streams === undefined || streaming.output !== "stream") throw noPipe();
          return { ...(await exportArchive(paths, (data) => streams.write("stdout", data), parts)), kind: "archive" };
        };
        return { exported: await into(), mode: machine.executionMode };
      }, signal);
      return {
        workspace_id: found.record.id,
        workspace_path: shownPaths(paths),
        output_path: target ?? null,
        artifact_type: exported.kind,
        entry_count: exported.entries,
        bytes_written: exported.bytes,
        hard_link_count: exported.links,
        warnings: exportWarnings(exported),
        execution_mode: mode,
      };
    } finally {
      streams?.finish();
    }
  };
}

type Counts = Parameters<typeof exportWarnings>[0];

const noPipe = (): PyroError =>
  new PyroError("invalid_argument", "an archive goes to a stream of the caller's, and there is none", {
    remedy: "give the SDK's method a `stdout`, or name an output path",
  });

const stepsTo =
  (emit: (event: CopyEvent) => void) =>
  (step: { entries: number; bytes: number }): void =>
    emit({ type: "copy", ...step });

function readingHandlers({ workspaces }: ServerContext): Pick<WorkspaceHandlers["file"], "list" | "read" | "search"> {
  return {
    list: async ({ workspace, path, recursive, limit, after }, { signal }) => {
      const found = workspaces.find(workspace);
      const from = workspacePath(path);
      const request = { path: from, recursive, limit, after: Buffer.from(after ?? "", "base64url") };
      const { entries, more } = await found.readFiles(
        async (files) => await unlessAborted(files.list(request), signal),
        signal,
      );
      const last = more ? entries.at(-1) : undefined;
      return {
        workspace_id: found.record.id,
        path: shownPath(from),
        count: entries.length,
        entries: entries.map(entryOf),
        next: last === undefined ? null : Buffer.from(last.path).toString("base64url"),
      };
    },
    read: async ({ workspace, path, offset, max_bytes: limit }, { signal }) => {
      const found = workspaces.find(workspace);
      const at = workspacePath(path);
      const { data, size, mode } = await found.readFiles(
        async (files) => await unlessAborted(files.read(at, { offset, limit }), signal),
        signal,
      );
      const content = offset + data.length < size ? withoutPartOfCharacter(data) : data;
      const next = offset + content.length;
      return {
        workspace_id: found.record.id,
        path: shownPath(at),
        size,
        mode: mode.toString(8).padStart(4, "0"),
        offset,
        ...textFields("content", content),
        next_offset: next < size && content.length > 0 ? next : null,
      };
    },
    search: async ({ workspace, path, glob, ...wanted }, { signal }) => {
      const found = workspaces.find(workspace);
      const request = {
        path: workspacePath(path),
        globs: glob,
        pattern: wanted.pattern,
        ignoreCase: wanted.ignore_case,
        fixed: wanted.fixed,
        all: wanted.all,
        beforeLines: wanted.before_context,
        afterLines: wanted.after_context,
        limit: wanted.limit,
      };
      const result = await found.readFiles(async (files) => await unlessAborted(files.search(request), signal), signal);
      return {
        workspace_id: found.record.id,
        count: result.lines.filter(({ context }) => !context).length,
        lines: result.lines.map(({ path: of, number, text, context, cut }) => ({
          ...textFields("path", of),
          line: number,
          ...textFields("text", text),
          context,
          cut,
        })),
        truncated: result.more,
        searched_files: result.searchedFiles,
        binary_files: result.binaryFiles,
      };
    },
  };
}

function writingHandlers({ workspaces }: ServerContext): Pick<WorkspaceHandlers["file"], "write" | "edit"> {
  return {
    write: async ({ workspace, path, text, content_base64: base64, mode }, { signal }) => {
      if ((text === undefined) === (base64 === undefined)) {
        throw new PyroError("invalid_argument", "a file's content is a text or base64, one of them");
      }
      const found = workspaces.find(workspace);
      const at = workspacePath(path);
      const data = text === undefined ? Buffer.from(base64 ?? "", "base64") : Buffer.from(text);
      const change = { data, mode: mode === undefined ? undefined : Number.parseInt(mode, 8) };
      const { size, created } = await found.changeFiles(async (files) => await files.write(at, change), signal);
      return { workspace_id: found.record.id, path: shownPath(at), size, created };
    },
    edit: async ({ workspace, path, old, new: text, all }, { signal }) => {
      const found = workspaces.find(workspace);
      const at = workspacePath(path);
      const change = { old: Buffer.from(old), new: Buffer.from(text), all };
      const { size, replaced } = await found.changeFiles(async (files) => await files.write(at, change), signal);
      return { workspace_id: found.record.id, path: shownPath(at), size, replaced_count: replaced };
    },
  };
}

function entryOf(entry: FileEntry): FileEntrySummary {
  const { path, kind, size, mode, uid, gid, modifiedNs, target } = entry;
  return {
    ...textFields("path", path),
    kind,
    size,
    mode: mode.toString(8).padStart(4, "0"),
    uid,
    gid,
    modified_at: timeOf(modifiedNs),
    ...(kind === "symlink" ? textFields("target", target) : {}),
  };
}

/** Years that a date has no digits for stand at its ends. */
function timeOf(nanoseconds: bigint): string {
  const limit = 8_640_000_000_000_000n;
  const milliseconds = nanoseconds / 1_000_000n;
  const within = milliseconds > limit ? limit : milliseconds < -limit ? -limit : milliseconds;
  return new Date(Number(within)).toISOString();
}

/** Up to three bytes of a character of UTF-8 that is cut at the end are left for the next range. */
function withoutPartOfCharacter(data: Uint8Array): Uint8Array {
  for (let back = 1; back <= Math.min(3, data.length - 1); back += 1) {
    const byte = data[data.length - back] ?? 0;
    const isBegin = (byte & 0xc0) === 0xc0;
    if (isBegin) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return length > back ? data.subarray(0, data.length - back) : data;
    }
    if ((byte & 0xc0) !== 0x80) return data;
  }
  return data;
}
