/** What a machine is started from, in the words of the machine layer. */
import { join } from "node:path";
import type { ConfinementLevel, Isolation, MachineName } from "../contract/run.ts";
import type { KernelFormat, MachinePlan, MachineShape, VmmDriver } from "../vmm/driver.ts";
import type { MachineDescription } from "./machine.ts";
import type { TemplateParts } from "./template.ts";

/** An environment's files, complete for booting. */
export interface BootableEnvironment {
  readonly name: string;
  readonly version: string;
  readonly installDir: string;
  readonly defaults: MachineShape;
  readonly rootfs: { readonly path: string; readonly format: string; readonly sha256: string };
  readonly kernel: {
    readonly sha256: string;
    /** The kernel as a file of this format. */
    readonly file: (format: KernelFormat) => Promise<string>;
  };
  readonly initramfs: { readonly path: string; readonly sha256: string };
}

/** The machines of one environment with one shape by one VMM: they share a template. */
export interface MachineKind {
  readonly environment: BootableEnvironment;
  readonly shape: MachineShape;
  readonly driver: VmmDriver;
  readonly isolation: Isolation;
  readonly confinement: ConfinementLevel;
}

export const machineNameOf = ({ driver }: MachineKind): MachineName =>
  driver.kind === "firecracker" ? "firecracker" : `qemu-${driver.accelerator}`;

export const describe = (kind: MachineKind): MachineDescription => ({
  machineName: machineNameOf(kind),
  installDir: kind.environment.installDir,
  environment: kind.environment.name,
  environmentVersion: kind.environment.version,
  environmentDigest: kind.environment.rootfs.sha256,
  shape: kind.shape,
  executionMode: kind.driver.executionMode,
  isolation: kind.isolation,
  confinement: kind.confinement,
});

export function templateParts({ environment, shape, driver }: MachineKind): TemplateParts {
  return {
    environment: `${environment.name} ${environment.version}`,
    rootfs: environment.rootfs.sha256,
    kernel: environment.kernel.sha256,
    initramfs: environment.initramfs.sha256,
    vcpus: shape.vcpuCount,
    memory_mib: shape.memoryMib,
    vmm: driver.templateIdentity,
  };
}

/** The plan for one machine in `directory`. */
export async function machinePlan(
  kind: MachineKind,
  directory: string,
  files: { seedPath: string; volumePath: string },
): Promise<MachinePlan> {
  const { environment, shape } = kind;
  return {
    shape,
    directory,
    kernelPath: await environment.kernel.file(kind.driver.kernelFormat),
    initramfsPath: environment.initramfs.path,
    agentParameters: [
      `pyro.rootfs_type=${environment.rootfs.format}`,
      `pyro.channel=${kind.driver.executionMode === "guest_vsock" ? "vsock" : "serial"}`,
    ],
    drives: [
      { slot: "rootfs", path: environment.rootfs.path, readOnly: true },
      { slot: "seed", path: files.seedPath, readOnly: true },
      { slot: "volume", path: files.volumePath, readOnly: false },
    ],
  };
}

/** The seed slot of a machine without a seed: one empty, sparse image of the slot's size for all of them. */
export const emptySeedPath = (cacheDirectory: string): string => join(cacheDirectory, "empty-seed.raw");
