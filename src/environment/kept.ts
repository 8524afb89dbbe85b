/**
 * Root file systems that a newer build has replaced. What a workspace changed of `/` lies on the very one that it has started
 * from, so that one stays beside its successor for as long as it is needed.
 */
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { isErrno, syncDirectory } from "../host/files.ts";
import { type InstalledRoot, installPlaces, isKeptPlace } from "../host/paths.ts";
import { checkIntegrity } from "./integrity.ts";
import { type EnvironmentManifest, readManifest } from "./manifest.ts";

/** The environment that this root is of, where it still is as it was; undefined: it is gone, or damaged. */
export async function findKept(
  root: InstalledRoot,
): Promise<{ directory: string; manifest: EnvironmentManifest } | undefined> {
  for (const directory of installPlaces(root)) {
    const manifest = await usableManifest(directory);
    if (manifest?.digest === root.digest) return { directory, manifest };
  }
  return undefined;
}

/**
 * Renames `fresh`, whose root has this digest, to `target`. What is there is moved aside first, for a directory cannot be renamed
 * over a full one: it is removed when it is damaged, or the same, and otherwise stays until `dropReplaced`.
 */
export async function replaceDirectory(fresh: string, target: string, digest: string): Promise<void> {
  // Its name makes it rubbish to sweep, should we crash before removing it.
  const rubbish = `${fresh}-old`;
  const aside = (await placeFor(target, digest)) ?? rubbish;
  await rename(target, aside).catch((failure: unknown) => {
    if (!isErrno(failure, "ENOENT")) throw failure;
  });
  await rename(fresh, target);
  await syncDirectory(join(target, ".."));
  await rm(rubbish, { recursive: true, force: true });
}

/** Where what is installed in `target` is kept; undefined: it need not be. */
async function placeFor(target: string, freshDigest: string): Promise<string | undefined> {
  const manifest = await usableManifest(target);
  if (manifest === undefined || manifest.digest === freshDigest) return undefined;
  const place = installPlaces({ installDir: target, digest: manifest.digest }).find(isKeptPlace);
  // A build of before may have been the same.
  return place === undefined || (await usableManifest(place)) !== undefined ? undefined : place;
}

async function usableManifest(directory: string): Promise<EnvironmentManifest | undefined> {
  try {
    const manifest = await readManifest(directory);
    if (manifest !== undefined) await checkIntegrity(directory, manifest, "quick");
    return manifest;
  } catch {
    // What cannot be read is of no use to anybody.
    return undefined;
  }
}
