/** Room for a seed on the host's disk: before it is made, and while it is. */
import { PyroError } from "../../contract/error.ts";
import { VOLUME_BYTES } from "../../machine/machine-directory.ts";
import { FREE_BYTES_MIN, FULL_DISK_REMEDY, HostDisk } from "../host-disk.ts";

/** What of a volume is left for its own bookkeeping. */
const SEED_BYTES_MAX = VOLUME_BYTES - 4 * 1024 ** 3;

/**
 * Refuses a source that would not fit, before anything is made of it.
 * @returns how many bytes an archive may unpack to
 * @throws PyroError resource_exhausted
 */
export function checkRoom(diskBytes: number, freeBytes: number, directory: string): number {
  if (diskBytes > SEED_BYTES_MAX) {
    const what = `the source has ${gib(diskBytes)}, and a volume holds ${gib(SEED_BYTES_MAX)}`;
    const remedy = "leave out what is not needed, for example with --seed-ignore";
    throw new PyroError("resource_exhausted", what, { remedy });
  }
  // The stream, and the image that is made of it.
  const needed = 2 * diskBytes + FREE_BYTES_MIN;
  if (freeBytes < needed) {
    const what = `the seed needs ${gib(needed)} on the disk of ${directory}, which has ${gib(freeBytes)} free`;
    const remedy = "delete workspaces for good with `pyro workspace delete NAME --purge`, or run `pyro env prune`";
    throw new PyroError("resource_exhausted", what, { remedy });
  }
  // An archive that is compressed lies there three times: unpacked, as a stream, and in the image.
  return Math.min(SEED_BYTES_MAX, Math.max(0, Math.floor((freeBytes - FREE_BYTES_MIN) / 3)));
}

/**
 * Runs `work` with a signal that is aborted when the disk gets full: a machine that makes a seed would stand still then, and
 * nobody who could make room knows of it.
 * @throws PyroError resource_exhausted when that has happened; what `work` throws
 */
export async function whileThereIsRoom<T>(
  freeBytes: () => Promise<number>,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const full = new AbortController();
  const onFull = (free: number): void => {
    const mib = Math.floor(free / 1024 ** 2);
    const what = `the host's disk has ${mib} MiB free, too little to go on with the seed`;
    full.abort(new PyroError("resource_exhausted", what, { remedy: FULL_DISK_REMEDY }));
  };
  const disk = new HostDisk(freeBytes, { isNeeded: () => true, onFull, onRoom: () => undefined });
  disk.watch();
  try {
    return await work(AbortSignal.any([signal, full.signal]));
  } catch (failure) {
    throw full.signal.aborted && !signal.aborted ? full.signal.reason : failure;
  } finally {
    disk.close();
  }
}

const gib = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
