/** Files of a workspace, by the calls of the agent that has its volume mounted. Paths are relative to the workspace, as bytes. */
import { FileKind, type PullEnd } from "../guest/generated/pyro/agent/v1/agent_pb.ts";
import { PyroError } from "../contract/error.ts";
import { type GuestLink, guestError } from "../guest/link.ts";
import { type ApplyPatch, guestPatch } from "./guest-patch.ts";
import { stateOf, type VolumeState } from "./volume-state.ts";

/** Writing what a guest has in memory to a slow disk; a search has a limit of its own, of a minute. */
const CALL_DEADLINE_MS = 120_000;
/** Bytes of a message: the agent takes at most 4 MiB, and HTTP/2's window is as large. */
const PIECE_BYTES = 512 * 1024;
/** What a guest can give at most: what a volume holds, and what is said about it. */
const PULL_BYTES_MAX = 128 * 1024 ** 3;

/** What was put into a workspace; it is on the host's disk. */
export interface PushedTree {
  readonly volume: VolumeState;
  readonly entries: number;
  readonly bytes: number;
  /** Files and links that took the place of others. */
  readonly replaced: number;
}

export interface FileEntry {
  readonly path: Uint8Array;
  readonly kind: "file" | "directory" | "symlink" | "other";
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modifiedNs: bigint;
  /** Of a symbolic link. */
  readonly target: Uint8Array;
}

export interface FileRange {
  readonly data: Uint8Array;
  /** Of the whole file. */
  readonly size: number;
  readonly mode: number;
}

/** What a file becomes: these bytes, or itself with one text replaced. */
export type FileChange =
  | { readonly data: Uint8Array; readonly mode: number | undefined }
  | { readonly old: Uint8Array; readonly new: Uint8Array; readonly all: boolean };

export interface WrittenFile {
  readonly volume: VolumeState;
  readonly size: number;
  readonly created: boolean;
  readonly replaced: number;
}

export interface SearchRequest {
  readonly pattern: string;
  readonly path: Uint8Array;
  readonly globs: readonly string[];
  readonly ignoreCase: boolean;
  readonly fixed: boolean;
  readonly all: boolean;
  readonly beforeLines: number;
  readonly afterLines: number;
  readonly limit: number;
}

export interface FoundLine {
  readonly path: Uint8Array;
  readonly number: number;
  readonly text: Uint8Array;
  readonly context: boolean;
  readonly cut: boolean;
}

export interface FoundLines {
  readonly lines: readonly FoundLine[];
  readonly more: boolean;
  readonly searchedFiles: number;
  readonly binaryFiles: number;
}

/** Files of a workspace. @throws PyroError invalid_argument, not_found, invalid_state for what stands in the way, resource_exhausted */
export interface MachineFiles {
  /** Puts the tree of a stream (seed/src/stream.rs) over the directory at `destination`: all of it or nothing. */
  push(destination: Uint8Array, stream: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<PushedTree>;
  /** Gives what is at each path, under the name beside it, as one stream; the next piece only when `take` has settled. */
  pull(
    files: readonly { readonly path: Uint8Array; readonly name: Uint8Array }[],
    take: (data: Uint8Array) => Promise<void>,
    signal: AbortSignal,
  ): Promise<{ skipped: number; firstSkipped: readonly string[] }>;
  list(request: {
    path: Uint8Array;
    recursive: boolean;
    limit: number;
    after: Uint8Array;
  }): Promise<{ entries: readonly FileEntry[]; more: boolean }>;
  read(path: Uint8Array, range: { offset: number; limit: number }): Promise<FileRange>;
  write(path: Uint8Array, change: FileChange): Promise<WrittenFile>;
  search(request: SearchRequest): Promise<FoundLines>;
  readonly patch: ApplyPatch;
}

/** The files of the workspace that the guest behind `link` was configured with. */
export function guestFiles({ agent }: GuestLink): MachineFiles {
  const options = { timeoutMs: CALL_DEADLINE_MS };
  return {
    patch: guestPatch(agent),
    push: async (destination, stream, signal) => {
      const sent = agent.push(pushRequests(destination, stream), { signal });
      const { volume, entries, bytes, replaced } = await explained("taking files in", sent);
      const counts = { entries: Number(entries), bytes: Number(bytes), replaced: Number(replaced) };
      return { volume: stateOf(volume), ...counts };
    },
    pull: async (files, take, signal) => {
      const pieces = agent.pull({ files: [...files] }, { signal });
      return await explained("giving files out", taken(pieces, take));
    },
    list: async (request) => {
      const { entries, more } = await explained("listing files", agent.listFiles(request, options));
      if (entries.length > request.limit) throw tooMuch();
      return { entries: entries.map((entry) => ({ ...entry, ...entryOf(entry) })), more };
    },
    read: async (path, { offset, limit }) => {
      const request = { path, offset: BigInt(offset), limit };
      const { data, size, mode } = await explained("reading a file", agent.readFile(request, options));
      if (data.length > limit) throw tooMuch();
      return { data, size: Number(size), mode };
    },
    write: async (path, change) => {
      const request =
        "data" in change
          ? { path, data: change.data, mode: change.mode ?? 0, setMode: change.mode !== undefined }
          : { path, replacement: change };
      const written = await explained("writing a file", agent.writeFile(request, options));
      const { volume, size, created, replaced } = written;
      return { volume: stateOf(volume), size: Number(size), created, replaced: Number(replaced) };
    },
    search: async (request) => {
      const sent = agent.searchFiles({ ...request, globs: [...request.globs] }, options);
      const { lines, more, searchedFiles, binaryFiles } = await explained("searching files", sent);
      const numbers = { searchedFiles: Number(searchedFiles), binaryFiles: Number(binaryFiles) };
      return { lines: lines.map((line) => ({ ...line, number: Number(line.number) })), more, ...numbers };
    },
  };
}

async function* pushRequests(
  destination: Uint8Array,
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ destination?: Uint8Array; data?: Uint8Array }> {
  yield { destination };
  for await (const piece of stream) {
    for (let start = 0; start < piece.length; start += PIECE_BYTES)
      yield { data: piece.subarray(start, start + PIECE_BYTES) };
  }
}

/** Takes all pieces; what the last one says. @throws PyroError guest_failed when there is no last one, or no end to them */
async function taken(
  pieces: AsyncIterable<{ data: Uint8Array; end?: PullEnd | undefined }>,
  take: (data: Uint8Array) => Promise<void>,
): Promise<{ skipped: number; firstSkipped: readonly string[] }> {
  let bytes = 0;
  let end: PullEnd | undefined;
  for await (const piece of pieces) {
    bytes += piece.data.length;
    if (end !== undefined || bytes > PULL_BYTES_MAX) throw tooMuch();
    if (piece.data.length > 0) await take(piece.data);
    end = piece.end;
  }
  if (end === undefined) throw new PyroError("guest_failed", "the guest agent did not give the files to their end");
  return { skipped: Number(end.skipped), firstSkipped: end.firstSkipped };
}

const KINDS = {
  [FileKind.FILE]: "file",
  [FileKind.DIRECTORY]: "directory",
  [FileKind.SYMLINK]: "symlink",
  [FileKind.OTHER]: "other",
  [FileKind.UNSPECIFIED]: "other",
} as const;

const entryOf = (entry: { kind: FileKind; size: bigint }): { kind: FileEntry["kind"]; size: number } => ({
  kind: KINDS[entry.kind],
  size: Number(entry.size),
});

const tooMuch = (): PyroError => new PyroError("guest_failed", "the guest agent gave more than it was asked for");

async function explained<T>(what: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (failure) {
    const error = guestError(failure, what);
    if (error.code !== "resource_exhausted" || !error.message.includes("No space left")) throw error;
    throw new PyroError("resource_exhausted", `${error.message}: the workspace's volume is full`, {
      cause: failure,
      remedy: "delete some of its files or snapshots, or make it larger: pyro workspace update NAME --volume-gib N",
    });
  }
}
