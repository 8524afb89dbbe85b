/** The drivers that need a KVM that works, by the names of PYRO_MACHINE. */
import type { MachineName } from "../../src/contract/run.ts";

export const NESTED_DRIVERS: readonly MachineName[] = ["firecracker", "qemu-kvm"];
