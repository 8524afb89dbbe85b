/**
 * The files of volumes. A new one is a sparse copy of one empty btrfs that is made once; from a guest's first write on, no
 * process of the host looks into it.
 */
import { open, mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PyroError } from "../contract/error.ts";
import { syncDirectory, syncFile } from "../host/files.ts";
import type { HostPaths } from "../host/paths.ts";
import { runProgram } from "../host/process.ts";
import { VOLUME_BYTES } from "../machine/machine-directory.ts";

/** Raised with the options below: another volume gets another name. */
const EMPTY_VOLUME_NAME = "empty-2.raw";

/**
 * One copy of the metadata: the host's disk is as good or bad for two. Checksums and the rest as mkfs.btrfs 5.15 or newer has
 * them by itself, so that any kernel of these years mounts it.
 */
const MKFS_OPTIONS = ["--quiet", "--nodiscard", "--metadata", "single", "--data", "single", "--label", "pyro"];
/** Left out at the drive's end: for a reset of a volume that is full (agent/src/volume/reserve.rs). */
const RESERVE_BYTES = 2 * 1024 ** 3;
/** Writes some 4 MiB. */
const MKFS_DEADLINE_MS = 60_000;
const COPY_DEADLINE_MS = 60_000;

/** Makes volume files. One object for each server: it makes the empty volume once. */
export class VolumeFiles {
  readonly #path: string;
  #making: Promise<string> | undefined;

  constructor(paths: HostPaths) {
    this.#path = join(paths.cache, "volumes", EMPTY_VOLUME_NAME);
  }

  /**
   * Makes a new, empty volume at `target`.
   * @throws PyroError dependency_missing without mkfs.btrfs, resource_exhausted when the disk is full
   */
  async create(target: string): Promise<void> {
    await this.copy(await this.#empty(), target);
  }

  /** Makes one at `target` like one that is kept for that, and that nobody's guest has written to. */
  async copy(source: string, target: string): Promise<void> {
    // Reads only where there is something: of 64 GiB some 4 MiB.
    await run("cp", ["--reflink=auto", "--sparse=always", "--", source, target], COPY_DEADLINE_MS);
    await syncFile(target);
    await syncDirectory(dirname(target));
  }

  async #empty(): Promise<string> {
    this.#making ??= this.#make();
    try {
      return await this.#making;
    } catch (failure) {
      this.#making = undefined;
      throw failure;
    }
  }

  async #make(): Promise<string> {
    const found = await stat(this.#path).catch(() => undefined);
    if (found?.size === VOLUME_BYTES) return this.#path;
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    const partial = `${this.#path}.${process.pid}.tmp`;
    try {
      const file = await open(partial, "w", 0o600);
      try {
        await file.truncate(VOLUME_BYTES);
      } finally {
        await file.close();
      }
      await run(
        "mkfs.btrfs",
        [...MKFS_OPTIONS, "--byte-count", String(VOLUME_BYTES - RESERVE_BYTES), partial],
        MKFS_DEADLINE_MS,
      );
      await syncFile(partial);
      await rename(partial, this.#path);
    } finally {
      await rm(partial, { force: true });
    }
    return this.#path;
  }
}

/** Runs one of the host's programs, which may lie where a plain user's PATH does not lead. */
async function run(program: string, args: readonly string[], deadlineMs: number): Promise<void> {
  const path = `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`;
  const env = { PATH: path, LC_ALL: "C" };
  const { code, stderr } = await runProgram(program, args, { deadlineMs, env });
  if (code === 0) return;
  const words = stderr.trim().split("\n").at(-1) ?? "";
  const full = words.includes("No space left");
  throw new PyroError(full ? "resource_exhausted" : "internal", `${program} failed: ${words}`, {
    evidence: { exit: code ?? "signal" },
    ...(full ? { remedy: "free some space, or set PYRO_STATE_DIR to a larger disk" } : {}),
  });
}
