/** The drivers that need a KVM that works, by the names of PYRO_MACHINE, as far as users get them. */
import type { MachineName } from "../../src/contract/run.ts";
import { FIRECRACKER_HAS_DRIVER } from "../../src/vmm/select.ts";

export const NESTED_DRIVERS: readonly MachineName[] = FIRECRACKER_HAS_DRIVER
  ? ["firecracker", "qemu-kvm"]
  : ["qemu-kvm"];
