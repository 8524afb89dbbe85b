import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { PyroError } from "../contract/error.ts";
import { isErrno } from "../host/files.ts";

const MIB = 1024 * 1024;

/**
 * Refuses when the file system of `path`, which need not exist yet, has less than `bytes` available to this user.
 *
 * @throws PyroError `resource_exhausted` with both figures.
 */
export async function requireSpace(path: string, bytes: number, variable: string): Promise<void> {
  const { bavail, bsize } = await statfs(path).catch((failure: unknown) => {
    if (isErrno(failure, "ENOENT") && dirname(path) !== path) return undefinedSpace;
    throw failure;
  });
  if (bsize === 0) return await requireSpace(dirname(path), bytes, variable);
  if (bavail * bsize >= bytes) return;
  const [needed, available] = [Math.ceil(bytes / MIB), Math.floor((bavail * bsize) / MIB)];
  throw new PyroError("resource_exhausted", `${path} needs ${needed} MiB of free space and has ${available} MiB`, {
    remedy: `free some space there, or move it with ${variable}`,
    evidence: { needed_mib: needed, available_mib: available },
  });
}

const undefinedSpace = { bavail: 0, bsize: 0 };
