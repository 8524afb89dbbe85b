/**
 * Whether KVM works here. That is decided by running a vCPU, not by opening a device.
 *
 * The cheap questions come first (is the device there, may it be opened), then the answer of an earlier time, then the
 * vCPU: in QEMU where there is one, else in Firecracker. Both run the same loop, and what it proves is the host's KVM.
 */
import type { HostPaths } from "../host/paths.ts";
import { answerOnce } from "./kvm-probe-cache.ts";
import type { FirecrackerProgram } from "./firecracker/binary.ts";
import { inspectKvmDevice, type KvmDevice } from "./kvm-probe-device.ts";
import { firecrackerVcpuProbe } from "./kvm-probe-firecracker.ts";
import { qemuVcpuProbe } from "./kvm-probe-qemu.ts";
import type { VcpuOutcome, VcpuProbe } from "./kvm-probe-vcpu.ts";
import type { QemuProgram } from "./qemu/version.ts";

export interface KvmAnswer {
  readonly exists: boolean;
  readonly readable: boolean;
  readonly writable: boolean;
  /** Whether a vCPU really ran. */
  readonly usable: boolean;
  /** In one clause, why or why not. */
  readonly reason: string;
  /** The command that mends it, or null. */
  readonly fix: string | null;
}

export interface KvmProbeOptions {
  /** Both undefined: nothing can be run. */
  readonly qemu: QemuProgram | undefined;
  readonly firecracker: FirecrackerProgram | undefined;
  /** Default: the host's /dev/kvm. */
  readonly device?: KvmDevice;
  /** Default: that of QEMU, else of Firecracker. */
  readonly probe?: VcpuProbe;
}

/**
 * Finds out whether KVM works: at once when it was asked before since the host booted, otherwise within 2.1 s; longer
 * where the VMM itself starts slowly, as in a nested machine.
 */
export async function probeKvm(paths: HostPaths, options: KvmProbeOptions): Promise<KvmAnswer> {
  const device = options.device ?? (await inspectKvmDevice());
  const { exists, readable, writable, obstacle } = device;
  const seen = { exists, readable, writable };
  if (obstacle !== null) return { ...seen, usable: false, ...obstacle };
  const probe = options.probe ?? probeWith(options);
  if (probe === undefined)
    return { ...seen, usable: false, reason: "not tried: there is no VMM to run a vCPU with", fix: null };
  const { ran, reason } = await answerOnce(paths, probe, `kvm=${device.identity}`);
  return {
    ...seen,
    usable: ran,
    reason: ran ? reason : `/dev/kvm opens, but does not run a guest: ${reason}`,
    fix: null,
  };
}

function probeWith({ qemu, firecracker }: KvmProbeOptions): VcpuProbe | undefined {
  if (qemu !== undefined) return qemuVcpuProbe({ qemu, accelerator: "kvm" });
  return firecracker === undefined ? undefined : firecrackerVcpuProbe({ firecracker });
}

/** Whether QEMU can emulate a guest at all: that it starts, with the machine and the sandbox that pyro uses. */
export async function probeEmulation(paths: HostPaths, qemu: QemuProgram): Promise<VcpuOutcome> {
  return await answerOnce(paths, qemuVcpuProbe({ qemu, accelerator: "tcg" }), "emulated");
}
