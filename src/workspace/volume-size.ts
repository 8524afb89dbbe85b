/** How large volumes are: their files are sparse, so that size and room on the disk are two things. */
import { stat, truncate } from "node:fs/promises";
import { PyroError } from "../contract/error.ts";
import { isErrno, syncFile } from "../host/files.ts";

const GIB = 1024 ** 3;

export interface VolumeSize {
  readonly sizeBytes: number;
  /** What it takes on the host's disk. */
  readonly diskBytes: number;
}

export const NO_VOLUME: VolumeSize = { sizeBytes: 0, diskBytes: 0 };

export async function sizeOf(path: string): Promise<VolumeSize> {
  const found = await stat(path).catch(() => undefined);
  return found === undefined ? NO_VOLUME : { sizeBytes: found.size, diskBytes: found.blocks * 512 };
}

/**
 * Makes the file larger, durably; what uses it does not know yet. One that is as large already stays as it is, so that a growth
 * that was interrupted can be asked for again.
 * @throws PyroError invalid_argument when it would shrink, resource_exhausted when the host has no files of this size
 */
export async function grow(path: string, sizeBytes: number): Promise<void> {
  const { size } = await stat(path);
  if (sizeBytes < size) {
    const message = `a volume never shrinks: it has ${size / GIB} GiB, which is more than ${sizeBytes / GIB}`;
    throw new PyroError("invalid_argument", message, {
      remedy:
        "it takes no room on the host's disk for what nobody has written; to start small, create another workspace",
    });
  }
  try {
    await truncate(path, sizeBytes);
  } catch (failure) {
    if (!isErrno(failure, "EFBIG")) throw failure;
    throw new PyroError("resource_exhausted", `the file system of ${path} has no files of ${sizeBytes / GIB} GiB`, {
      cause: failure,
      remedy: "ask for less, or set PYRO_STATE_DIR to another file system",
    });
  }
  await syncFile(path);
}
