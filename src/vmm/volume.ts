import { stat, truncate } from "node:fs/promises";
import { PyroError } from "../contract/error.ts";
import { type MachinePlace, VOLUME_BYTES_MAX } from "./driver.ts";

/** The file of a machine's volume. */
export function volumePathOf({ drives }: Pick<MachinePlace, "drives">): string {
  const volume = drives.find(({ slot }) => slot === "volume");
  if (volume === undefined) throw new PyroError("internal", "a machine without a volume");
  return volume.path;
}

/**
 * Makes a machine's volume file larger; its VMM does not know yet.
 * @throws PyroError invalid_argument when it would shrink or is too large
 */
export async function growVolumeFile(plan: MachinePlace, sizeBytes: number): Promise<void> {
  const path = volumePathOf(plan);
  const { size } = await stat(path);
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < size || sizeBytes > VOLUME_BYTES_MAX) {
    const message = `a volume of ${size} bytes cannot become one of ${sizeBytes}: it may grow to ${VOLUME_BYTES_MAX}`;
    throw new PyroError("invalid_argument", message);
  }
  await truncate(path, sizeBytes);
}
