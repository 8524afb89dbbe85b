import type { Accelerator } from "../driver.ts";

/**
 * Without "enhanced rep movsb/stosb" the guest's kernel copies and clears memory eight bytes at a time: TCG takes each
 * step of a `rep` instruction by itself, and pages clear and pipes copy several times faster so.
 */
const EMULATED_CPU = "max,-erms,-fsrm";

/** QEMU's `-cpu` for machines, and for finding out whether machines can run. */
export const cpuModel = (accelerator: Accelerator): string => (accelerator === "kvm" ? "host" : EMULATED_CPU);
