/** Turns a root file system, as a tar stream, into the read-only image that guests mount. See decision 0003. */
import { stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { PyroError } from "../contract/error.ts";
import { type ProgramGroup, startGroup } from "../host/process-group.ts";
import { sha256OfFile } from "./hash.ts";
import { ownRootDirectory } from "./squashfs-root.ts";

/** Name of the file system as mount(2) knows it, and the image's file name extension. */
export const ROOTFS_FORMAT = "squashfs";
export type RootfsFormat = typeof ROOTFS_FORMAT;

/** Newest time in an image, 2026-01-01: what the build writes itself gets it, files of packages keep their own. */
export const SOURCE_DATE_EPOCH = 1_767_225_600;

const DEADLINE_MS = 30 * 60 * 1000;

export interface RootfsImage {
  readonly path: string;
  readonly format: RootfsFormat;
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Writes the image of the tree in `tar` to `target`, which must not exist.
 *
 * @throws PyroError `dependency_missing` without sqfstar, `resource_exhausted` on a full disk.
 */
export async function buildRootfsImage(
  tar: Readable,
  target: string,
  options: { signal: AbortSignal; onBytes: (bytes: number) => void },
): Promise<RootfsImage> {
  const args = [
    "-quiet",
    "-no-progress",
    "-exit-on-error",
    ...["-comp", "lz4"],
    "-noI",
    ...["-root-mode", "0755"],
    target,
  ];
  const group = startGroup("sqfstar", args, {
    deadlineMs: DEADLINE_MS,
    signal: options.signal,
    stdio: ["pipe", "ignore", "pipe"],
    env: { ...process.env, SOURCE_DATE_EPOCH: String(SOURCE_DATE_EPOCH) },
  });
  let errors = "";
  group.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-8192);
  });
  feed(tar, group, options.onBytes);
  const outcome = await group.ended;
  if (outcome.code !== 0) throw imageFailure(errors, outcome.code);
  await ownRootDirectory(target);
  return {
    path: target,
    format: ROOTFS_FORMAT,
    bytes: (await stat(target)).size,
    sha256: await sha256OfFile(target),
  };
}

/** Gives `tar` to the program's standard input, and reads on after the program has seen the archive's end. */
function feed(tar: Readable, group: ProgramGroup, onBytes: (bytes: number) => void): void {
  const input = group.child.stdin;
  if (input === null) throw new PyroError("internal", "sqfstar has no standard input");
  let bytes = 0;
  tar.on("data", (chunk: Buffer) => onBytes((bytes += chunk.length)));
  tar.pipe(input);
  // tar pads its output beyond the end of the archive; whoever writes it must not find the pipe closed.
  input.once("close", () => tar.resume());
  // The exit status says why it went away; the broken pipe only says that it did.
  input.on("error", () => undefined);
  const broken = (cause?: Error): void => {
    if (!tar.readableEnded)
      group.stop(new PyroError("environment_failed", "the root file system broke off", { cause }));
  };
  tar.once("error", broken);
  tar.once("close", () => broken());
}

function imageFailure(errors: string, code: number | null): PyroError {
  const evidence = { command: "sqfstar", exit: code ?? "signal", stderr: errors.slice(-4096) };
  if (/No space left on device/.test(errors)) {
    return new PyroError("resource_exhausted", "the disk is full", {
      evidence,
      remedy: "free some space, or move the cache with PYRO_CACHE_DIR",
    });
  }
  return new PyroError("environment_failed", "the root file system image could not be written", {
    cause: errors.trim().split("\n").at(-1),
    evidence,
  });
}
