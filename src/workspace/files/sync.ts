/** Putting what the host has into a workspace: read as a seed is, and sent as it is read. */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { Scope } from "../../host/scope.ts";
import type { MachineFiles, PushedTree } from "../../machine/guest-files.ts";
import { FREE_BYTES_MIN, freeBytes } from "../host-disk.ts";
import { findSource, pipeSource, warningsOf } from "../seeds/seed-source.ts";

/** What is put where. */
export interface SyncRequest {
  /** Absolute path on this host: a directory, or an archive. */
  readonly source: string;
  /** From the workspace. */
  readonly destination: Uint8Array;
  /** Without what git ignores. */
  readonly ignoring: boolean;
}

export interface SyncParts {
  readonly files: MachineFiles;
  /** pyro-seed. */
  readonly program: string;
  /** A directory of pyro's own, on a disk that an unpacked archive may be put on. */
  readonly scratch: string;
  readonly signal: AbortSignal;
  readonly onStep: (step: { entries: number; bytes: number }) => void;
}

export interface Synced {
  readonly mode: "directory" | "tar_archive";
  readonly source: string;
  readonly pushed: PushedTree;
  readonly warnings: readonly string[];
}

/**
 * Puts the source's tree over the workspace's: all of it or nothing.
 * @throws PyroError not_found, permission_denied naming what cannot be read, invalid_state when the source changes meanwhile or a file
 * would take the place of a directory or the reverse, resource_exhausted
 */
export async function syncPush({ source, destination, ignoring }: SyncRequest, parts: SyncParts): Promise<Synced> {
  const { files, program, signal, onStep } = parts;
  const found = await findSource(source, { ignoring });
  await using scope = new Scope();
  const scratch = await mkdtemp(join(parts.scratch, "sync-"));
  scope.defer(async () => await rm(scratch, { recursive: true, force: true }));
  const limitBytes = Math.max(0, (await freeBytes(scratch)) - FREE_BYTES_MIN);
  let pushed: PushedTree | undefined;
  const content = await pipeSource(found, { scratch, limitBytes }, { program, signal, onStep }, async (stream) => {
    pushed = await files.push(destination, stream, signal);
  });
  if (pushed === undefined) throw new PyroError("internal", "nothing was sent");
  return { mode: found.mode, source: found.path, pushed, warnings: warningsOf(content) };
}
