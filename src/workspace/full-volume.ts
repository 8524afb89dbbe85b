/** A volume that is full to its very end, so that its guest finds no room for what a start or a reset has to write. */
import { PyroError } from "../contract/error.ts";
import { VOLUME_GIB_MAX } from "../contract/limits.ts";
import { isFullVolume } from "../machine/guest-setup.ts";
import type { OpenMachine } from "../machine/machine.ts";
import { grow, sizeOf } from "./volume-size.ts";

/** What the agent keeps free at a volume's end (agent/src/volume/reserve.rs): used up, it gets that once more. */
const RESERVE_BYTES = 2 * 1024 ** 3;
const BYTES_MAX = VOLUME_GIB_MAX * 1024 ** 3;

/**
 * Opens a machine with the volume at `path`; where its guest has found it full to the end it is made a little larger, and
 * opened again: nothing in it has to go for that.
 */
export async function openWithRoom(
  path: string,
  open: () => Promise<OpenMachine>,
  onNotice: (notice: string) => void,
): Promise<OpenMachine> {
  try {
    return await open();
  } catch (failure) {
    const { sizeBytes } = await sizeOf(path);
    if (!isFullVolume(failure) || sizeBytes + RESERVE_BYTES > BYTES_MAX) throw failure;
    onNotice(`its volume is full to its end, and is made 2 GiB larger: ${PyroError.from(failure).message}`);
    await grow(path, sizeBytes + RESERVE_BYTES);
    return await open();
  }
}
