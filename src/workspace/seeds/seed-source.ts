/** What a workspace is to begin with: found, told from what it was before, and read as a stream. */
import { realpath, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { isErrno } from "../../host/files.ts";
import { expandArchive, stampOfArchive } from "./archive.ts";
import { notIgnored } from "./git-files.ts";
import {
  listSource,
  packArchive,
  packSource,
  pipeStream,
  type SeederOptions,
  type SeedSource,
  type SourceContent,
} from "./seeder.ts";

const ARCHIVE_NAME = /\.(tar|tar\.gz|tgz|tar\.zst)$/;

/** A source that was found. */
export interface FoundSource {
  readonly mode: "directory" | "tar_archive";
  /** Without what git ignores. */
  readonly ignoring: boolean;
  /** Its path without links. */
  readonly path: string;
  /** Names it among all sources, with the way it is read. */
  readonly key: string;
}

/** What tells one state of a source from another. */
export interface SourceState {
  /** No change leaves it as it is. */
  readonly stamp: string;
  /** The latest change of anything in it, nanoseconds since the Unix epoch. */
  readonly newestNs: bigint;
  /** What it takes on the disk. */
  readonly diskBytes: number;
}

/**
 * The directory or archive at `path`.
 * @throws PyroError not_found, permission_denied, invalid_argument for what is neither
 */
export async function findSource(path: string, { ignoring }: { ignoring: boolean }): Promise<FoundSource> {
  if (!isAbsolute(path) || path.includes("\0")) {
    throw new PyroError("invalid_argument", `${JSON.stringify(path)} is no absolute path`);
  }
  const real = await realPath(path);
  const node = await stat(real);
  if (node.isDirectory()) {
    return { mode: "directory", ignoring, path: real, key: `directory ${ignoring ? "ignoring " : ""}${real}` };
  }
  if (node.isFile() && ARCHIVE_NAME.test(path)) {
    if (!ignoring) return { mode: "tar_archive", ignoring, path: real, key: `archive ${real}` };
    throw new PyroError("invalid_argument", "what git ignores is known of a directory: an archive is taken as a whole");
  }
  throw new PyroError("invalid_argument", `${path} is neither a directory nor an archive`, {
    remedy: "name a directory, or a .tar, .tar.gz, .tgz or .tar.zst",
  });
}

/** @throws PyroError as listSource */
export async function stateOf(source: FoundSource, options: SeederOptions): Promise<SourceState> {
  if (source.mode === "tar_archive") return await stampOfArchive(source.path);
  const { stamp, content } = await listSource(await wantedOf(source, options), options);
  return { stamp, ...content };
}

/**
 * Writes the source as a stream to `stream`; the directory `scratch` may get other files as well.
 * @throws PyroError as packSource, expandArchive and packArchive
 */
export async function readSource(
  source: FoundSource,
  { scratch, stream, limitBytes }: { scratch: string; stream: string; limitBytes: number },
  options: SeederOptions,
): Promise<SourceContent> {
  const { mode, path } = source;
  if (mode === "directory") return await packSource(await wantedOf(source, options), stream, options);
  const { signal } = options;
  const archive = await expandArchive(path, join(scratch, "archive.tar"), { limitBytes, signal });
  return await packArchive({ archive, name: path }, stream, options);
}

/**
 * Gives `consume` the source as a stream; the directory `scratch` may get an archive that had to be unpacked first.
 * @throws PyroError as pipeStream and expandArchive
 */
export async function pipeSource(
  source: FoundSource,
  { scratch, limitBytes }: { scratch: string; limitBytes: number },
  options: SeederOptions,
  consume: (stream: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<SourceContent> {
  const { mode, path } = source;
  if (mode === "directory") return await pipeStream(await wantedOf(source, options), options, consume);
  const archive = await expandArchive(path, join(scratch, "archive.tar"), { limitBytes, signal: options.signal });
  return await pipeStream({ archive, name: path }, options, consume);
}

/** What a person should know of what was read. */
export function warningsOf({ skipped, skippedCount, secrets, redacted, elsewhere }: SourceContent): string[] {
  return [
    ...(skippedCount === 0 ? [] : [`left out ${skippedCount} sockets, fifos and devices: ${skipped.join(", ")}`]),
    ...(secrets.length === 0 ? [] : [`files that may hold secrets came along: ${secrets.join(", ")}`]),
    ...(redacted.length === 0 ? [] : [`credentials were taken out of the copy of ${redacted.join(", ")}`]),
    ...(elsewhere.length === 0 ? [] : [`git finds no repository in the copy for ${elsewhere.join(", ")}`]),
  ];
}

async function wantedOf({ path, ignoring }: FoundSource, { signal }: SeederOptions): Promise<SeedSource> {
  return { directory: path, only: ignoring ? await notIgnored(path, signal) : undefined };
}

async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    const code = isErrno(cause, "EACCES") ? "permission_denied" : "not_found";
    throw new PyroError(code, `there is no ${path} that can be read`, { cause });
  }
}
