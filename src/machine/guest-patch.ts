/** Applying a patch, by the agent that has the workspace's volume mounted. */
import { PyroError } from "../contract/error.ts";
import { PATCH_ENTRIES_MAX, PATCH_TEXT_BYTES_MAX } from "../contract/limits.ts";
import type { PATCH_FAILURE_REASONS } from "../contract/patch-operations.ts";
import {
  type ApplyPatchResponse,
  PatchAction,
  type PatchFailure,
  PatchFailureReason,
} from "../guest/generated/pyro/agent/v1/agent_pb.ts";
import { type AgentClient, guestError } from "../guest/link.ts";
import { stateOf, type VolumeState } from "./volume-state.ts";

/** Bytes of a message: the agent takes at most 4 MiB. */
const PIECE_BYTES = 512 * 1024;

export interface PatchOptions {
  /** Parts that are taken off each name; undefined: as git does. */
  readonly strip: number | undefined;
  readonly reverse: boolean;
  /** Nothing is changed. */
  readonly check: boolean;
}

export interface AppliedFile {
  readonly path: Uint8Array;
  /** The file that it was, or is a copy of. */
  readonly from: Uint8Array | undefined;
  readonly status: "added" | "modified" | "deleted" | "renamed" | "copied";
  readonly linesAdded: number;
  readonly linesRemoved: number;
  /** Hunks that are not where their numbers say. */
  readonly moved: readonly { readonly hunk: number; readonly line: number; readonly offset: number }[];
}

/** One thing for which a patch does not apply; numbers count from 1. */
export interface RefusedPart {
  readonly path: Uint8Array;
  readonly reason: (typeof PATCH_FAILURE_REASONS)[number];
  readonly hunk: number | undefined;
  readonly patchLine: number;
  readonly line: number | undefined;
  readonly expected: Uint8Array | undefined;
  readonly found: Uint8Array | undefined;
  readonly text: string;
}

export interface AppliedPatch {
  readonly volume: VolumeState;
  /** The first ones. */
  readonly files: readonly AppliedFile[];
  readonly fileCount: number;
  /** The first ones; with any nothing was changed. */
  readonly failures: readonly RefusedPart[];
  readonly failureCount: number;
}

/** Applies a patch that comes in pieces: all of it or nothing. */
export type ApplyPatch = (
  options: PatchOptions,
  pieces: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
) => Promise<AppliedPatch>;

/** Of the workspace that the guest was configured with. @throws PyroError invalid_argument for what is no patch, resource_exhausted */
export function guestPatch(agent: AgentClient): ApplyPatch {
  return async (options, pieces, signal) => {
    try {
      return appliedPatch(await agent.applyPatch(requests(options, pieces), { signal }));
    } catch (failure) {
      throw guestError(failure, "applying a patch");
    }
  };
}

async function* requests(
  { strip, reverse, check }: PatchOptions,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ options?: object; data?: Uint8Array; end?: boolean }> {
  yield { options: { strip: strip ?? 0, setStrip: strip !== undefined, reverse, check } };
  for await (const piece of pieces) {
    for (let start = 0; start < piece.length; start += PIECE_BYTES)
      yield { data: piece.subarray(start, start + PIECE_BYTES) };
  }
  yield { end: true };
}

function appliedPatch(answer: ApplyPatchResponse): AppliedPatch {
  const { files, failures } = answer;
  const texts = failures.reduce((bytes, { text, path }) => bytes + text.length + path.length, 0);
  if (files.length > PATCH_ENTRIES_MAX || failures.length > PATCH_ENTRIES_MAX || texts > 2 * PATCH_TEXT_BYTES_MAX)
    throw new PyroError("guest_failed", "the guest agent gave more than it was asked for");
  return {
    volume: stateOf(answer.volume),
    files: files.map((file) => ({
      path: file.path,
      from: file.from.length === 0 ? undefined : file.from,
      status: STATUSES[file.action],
      linesAdded: Number(file.linesAdded),
      linesRemoved: Number(file.linesRemoved),
      moved: file.moved.map(({ hunk, line, offset }) => ({ hunk, line: Number(line), offset: Number(offset) })),
    })),
    fileCount: Number(answer.fileCount),
    failures: failures.map(refusedPart),
    failureCount: Number(answer.failureCount),
  };
}

function refusedPart(failure: PatchFailure): RefusedPart {
  const { path, reason, hunk, patchLine, line, expected, found, text } = failure;
  return {
    path,
    reason: REASONS[reason],
    hunk: hunk === 0 ? undefined : hunk,
    patchLine: Number(patchLine),
    line: line === 0n ? undefined : Number(line),
    expected: expected?.text,
    found: found?.text,
    text,
  };
}

const STATUSES = {
  [PatchAction.UNSPECIFIED]: "modified",
  [PatchAction.ADDED]: "added",
  [PatchAction.MODIFIED]: "modified",
  [PatchAction.DELETED]: "deleted",
  [PatchAction.RENAMED]: "renamed",
  [PatchAction.COPIED]: "copied",
} as const;

const REASONS = {
  [PatchFailureReason.UNSPECIFIED]: "unsupported",
  [PatchFailureReason.NO_MATCH]: "no_match",
  [PatchFailureReason.OVERLAP]: "overlap",
  [PatchFailureReason.MISSING]: "missing",
  [PatchFailureReason.EXISTS]: "exists",
  [PatchFailureReason.PATH]: "path",
  [PatchFailureReason.KIND]: "kind",
  [PatchFailureReason.CONTENT]: "content",
  [PatchFailureReason.LIMIT]: "limit",
  [PatchFailureReason.UNSUPPORTED]: "unsupported",
} as const;
