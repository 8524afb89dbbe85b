/** Deletes what the cache no longer needs. */
import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../host/files.ts";
import { type HostPaths, isKeptPlace, kernelsDirectory } from "../host/paths.ts";
import { packageCache, packageFileName } from "./debian/apt-root.ts";
import { debianSource } from "./debian/source.ts";
import { recipeDigest } from "./definition.ts";
import { initramfsDirectory } from "./initramfs.ts";
import { kernelElfDirectory } from "./kernel-elf.ts";
import { readManifest } from "./manifest.ts";
import { knownEnvironments } from "./names.ts";
import { abandonedPartials, PARTIAL_PREFIX } from "./partial.ts";
import { installDirectory, platformDirectory } from "./store.ts";

/** An initramfs or an unpacked kernel is made again in a moment, but not while a machine is being started from it. */
const BOOT_ARCHIVE_AGE_MS = 24 * 60 * 60 * 1000;

export interface PruneOptions {
  readonly paths: HostPaths;
  /** Whether a machine uses this environment directory or initramfs file now; such are left alone. */
  readonly inUse: (path: string) => boolean;
  /** Also delete the environments that are up to date, and all downloaded packages. */
  readonly all?: boolean;
}

export interface Pruned {
  /** Environments that were deleted, and what interrupted builds left. */
  readonly deletedDirectories: readonly string[];
  /** Kernels, downloaded packages and boot archives that went with them. */
  readonly deletedFiles: readonly string[];
  readonly freedBytes: number;
  /** Environments that were due and are used by a machine. */
  readonly keptInUse: readonly string[];
}

/**
 * Deletes, in this order: what interrupted builds left; environments that are unknown, damaged or of an older version
 * (with `all`: all of them); kernels no environment refers to; packages no environment has installed; old boot archives.
 * A build in progress is not touched.
 *
 * @throws PyroError `invalid_argument` when the user's environments.toml cannot be read: then nothing is known to be
 *   unknown, and nothing is deleted.
 */
export async function pruneEnvironments(options: PruneOptions): Promise<Pruned> {
  const { paths } = options;
  const parent = platformDirectory(paths);
  const due = await dueEnvironments(options);
  const abandoned = await abandonedPartials(parent, PARTIAL_PREFIX);
  const keptInUse = due.filter(options.inUse);
  const directories = [...abandoned, ...due.filter((path) => !options.inUse(path))];
  let freedBytes = 0;
  for (const path of directories) freedBytes += await removeTree(path);
  directories.push(...(await debianSource.removeAbandoned()));
  const files = [...(await unreferencedFiles(paths, parent)), ...(await oldBootArchives(options))];
  for (const path of files) freedBytes += await removeTree(path);
  return { deletedDirectories: directories, deletedFiles: files, freedBytes, keptInUse };
}

/** Deletes the environments that newer builds have replaced, unless they are used. @returns bytes that came free */
export async function dropReplaced({ paths, inUse }: Pick<PruneOptions, "paths" | "inUse">): Promise<number> {
  const replaced = (await pathsIn(platformDirectory(paths))).filter((path) => isKeptPlace(path) && !inUse(path));
  let freedBytes = 0;
  for (const path of replaced) freedBytes += await removeTree(path);
  return freedBytes;
}

/** Installed directories that no known environment would use as they are. */
async function dueEnvironments({ paths, all }: PruneOptions): Promise<string[]> {
  const current = new Set<string>();
  for (const definition of all === true ? [] : await knownEnvironments(paths)) {
    const directory = installDirectory(definition, paths);
    const manifest = await readManifest(directory).catch(() => undefined);
    if (manifest?.recipe === recipeDigest(definition)) current.add(directory);
  }
  const parent = platformDirectory(paths);
  return (await namesIn(parent))
    .filter((name) => !name.startsWith(PARTIAL_PREFIX))
    .map((name) => join(parent, name))
    .filter((path) => !current.has(path));
}

/** Kernels and downloaded packages that no environment left refers to. */
async function unreferencedFiles(paths: HostPaths, parent: string): Promise<string[]> {
  const environments = await namesIn(parent);
  // A build in progress has a kernel and packages that no manifest names yet.
  if (environments.some((name) => name.startsWith(PARTIAL_PREFIX))) return [];
  const keep = new Set<string>();
  for (const name of environments) {
    const manifest = await readManifest(join(parent, name)).catch(() => undefined);
    if (manifest === undefined) continue;
    keep.add(join(kernelsDirectory(paths), manifest.kernel.id));
    for (const item of manifest.packages) keep.add(join(packageCache(paths), packageFileName(item)));
  }
  const stored = [...(await pathsIn(kernelsDirectory(paths))), ...(await pathsIn(packageCache(paths)))];
  return stored.filter((path) => !keep.has(path));
}

async function oldBootArchives({ paths, inUse }: PruneOptions): Promise<string[]> {
  const old: string[] = [];
  for (const path of [...(await pathsIn(initramfsDirectory(paths))), ...(await pathsIn(kernelElfDirectory(paths)))]) {
    const { mtimeMs } = await lstat(path);
    if (!inUse(path) && Date.now() - mtimeMs > BOOT_ARCHIVE_AGE_MS) old.push(path);
  }
  return old;
}

/** Removes a file or directory; gives the bytes of disk that came free, so not those a hard link still holds. */
async function removeTree(path: string): Promise<number> {
  const inside = await readdir(path, { recursive: true }).catch(() => []);
  const found = await Promise.all([path, ...inside.map((name) => join(path, name))].map((each) => lstat(each)));
  await rm(path, { recursive: true, force: true });
  return found
    .filter((each) => each.isDirectory() || each.nlink === 1)
    .reduce((sum, { blocks }) => sum + blocks * 512, 0);
}

const pathsIn = async (directory: string): Promise<string[]> =>
  (await namesIn(directory)).map((name) => join(directory, name));

async function namesIn(directory: string): Promise<string[]> {
  return await readdir(directory).catch((failure: unknown) => {
    if (isErrno(failure, "ENOENT")) return [];
    throw failure;
  });
}
