/**
 * Directories that are there with all that belongs in them or not at all, whatever ends the server meanwhile: while one is made or
 * removed it has another name, and what is left under such a name is nobody's.
 */
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isErrno, syncDirectory } from "../host/files.ts";

const PART = ".tmp";

/** Makes `directory` with what `fill` puts into it; it is on the disk then. */
export async function makeWhole(directory: string, fill: (place: string) => Promise<void>): Promise<void> {
  const part = `${directory}${PART}`;
  await mkdir(part, { mode: 0o700 });
  await fill(part);
  await rename(part, directory);
  await syncDirectory(dirname(directory));
}

/** Removes it, and what is there of it when its making has failed. */
export async function removeWhole(directory: string): Promise<void> {
  const part = `${directory}${PART}`;
  try {
    await rename(directory, part);
  } catch (failure) {
    if (!isErrno(failure, "ENOENT")) throw failure;
  }
  await rm(part, { recursive: true, force: true });
}

/** Removes what a server that was killed has left half made or half removed in `parent`. */
export async function removeParts(parent: string): Promise<void> {
  const parts = (await readdir(parent)).filter((name) => name.endsWith(PART));
  for (const name of parts) await rm(join(parent, name), { recursive: true, force: true });
}
