/** `workspace.patch.apply`: the server passes the patch on and reads nothing of it. */
import { Readable } from "node:stream";
import { PyroError } from "../../contract/error.ts";
import type { PatchedFile, PatchFailure, PatchResult } from "../../contract/patch-operations.ts";
import type { AppliedFile, AppliedPatch, RefusedPart } from "../../machine/guest-patch.ts";
import type { CommandStreams } from "../byte-streams.ts";
import type { ServerContext } from "../context.ts";
import { claimStreams, unlessAborted } from "../execution.ts";
import type { Handlers } from "../handler.ts";
import { textFields } from "./text-fields.ts";

/** What is read of a patch before its workspace waits for the rest. */
const AHEAD_BYTES = 1024 * 1024;

export function patchHandler(context: ServerContext): Handlers["workspace"]["patch"]["apply"] {
  return async (input, { signal }) => {
    const { workspace, patch, patch_path: path, strip, reverse, check } = input;
    const found = context.workspaces.find(workspace);
    if (path !== undefined || (patch === undefined) === !input.stdin) {
      throw new PyroError("invalid_argument", "a patch is a text or a stream, one of them", {
        remedy: "give patch, patch_path or the SDK's stdin, and only one of them",
      });
    }
    const streams = await claimStreams(context, input);
    try {
      const pieces = await readAhead(
        streams === undefined ? Readable.from([Buffer.from(patch ?? "")]) : whole(streams),
        signal,
      );
      const options = { strip, reverse, check };
      const done = await found.changeFiles(async (files) => await files.patch(options, pieces, signal), signal);
      return { workspace_id: found.record.id, ...resultOf(done, check) };
    } finally {
      streams?.finish();
    }
  };
}

/** A client that went away has left a part of its patch, which may look like all of one. */
async function* whole({ stdin, isStdinWhole }: CommandStreams): AsyncGenerator<Uint8Array> {
  yield* stdin;
  if (!isStdinWhole()) throw new PyroError("cancelled", "the caller went away before its patch was sent");
}

/** The same pieces, of which the first are here. */
async function readAhead(pieces: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const left = pieces[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let bytes = 0;
  let ended = false;
  while (!ended && bytes < AHEAD_BYTES) {
    const next = await unlessAborted(left.next(), signal);
    ended = next.done === true;
    if (next.done !== true) {
      first.push(next.value);
      bytes += next.value.length;
    }
  }
  return (async function* () {
    yield* first;
    for (let next = await left.next(); next.done !== true; next = await left.next()) yield next.value;
  })();
}

function resultOf(done: AppliedPatch, check: boolean): Omit<PatchResult, "workspace_id"> {
  const applies = done.failureCount === 0;
  return {
    applies,
    applied: applies && !check,
    file_count: done.fileCount,
    files: done.files.map(fileOf),
    failure_count: done.failureCount,
    failures: done.failures.map(failureOf),
  };
}

function fileOf({ path, from, status, linesAdded, linesRemoved, moved }: AppliedFile): PatchedFile {
  return {
    ...textFields("path", path),
    ...(from === undefined ? { from: null } : textFields("from", from)),
    status,
    lines_added: linesAdded,
    lines_removed: linesRemoved,
    moved_hunks: [...moved],
  };
}

function failureOf({ path, reason, hunk, patchLine, line, expected, found, text }: RefusedPart): PatchFailure {
  return {
    ...textFields("path", path),
    reason,
    hunk: hunk ?? null,
    patch_line: patchLine,
    line: line ?? null,
    ...(expected === undefined ? { expected: null } : textFields("expected", expected)),
    ...(found === undefined ? { found: null } : textFields("found", found)),
    message: text,
  };
}
