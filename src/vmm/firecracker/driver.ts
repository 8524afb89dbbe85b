/** Firecracker behind the driver interface. */
import type { VmmDriver } from "../driver.ts";
import { FirecrackerMachine, type FirecrackerProgram } from "./machine.ts";

export interface FirecrackerDriverOptions extends FirecrackerProgram {
  /** For example "1.12.1". */
  readonly version: string;
  /** Names the host's CPU as far as a saved guest depends on it. */
  readonly cpuIdentity: string;
  /** Release of the host's kernel, whose KVM a saved vCPU depends on. */
  readonly hostKernel: string;
}

/** A driver for one Firecracker binary. */
export function firecrackerDriver(options: FirecrackerDriverOptions): VmmDriver {
  const { version, cpuIdentity, hostKernel } = options;
  return {
    kind: "firecracker",
    accelerator: "kvm",
    executionMode: "guest_vsock",
    kernelFormat: "elf",
    // A version reads the snapshots of the same version; that it may read others' is not relied upon.
    templateIdentity: ["firecracker", version, cpuIdentity, hostKernel].join(" "),
    boot: async (plan, { memoryPath }) => await FirecrackerMachine.boot(options, plan, memoryPath),
    restore: async (plan, template, signal) => await FirecrackerMachine.restore(options, plan, { template, signal }),
  };
}
