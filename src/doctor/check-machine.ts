/** Platform, VMM, KVM, and which machine comes of them. */
import type { DoctorReport } from "../contract/host-operations.ts";
import { PyroError } from "../contract/error.ts";
import type { Confinement } from "../vmm/confinement.ts";
import type { HostPaths } from "../host/paths.ts";
import { type KvmAnswer, probeEmulation, probeKvm } from "../vmm/kvm-probe.ts";
import { findQemu, type QemuProgram } from "../vmm/qemu/version.ts";
import { chooseVmm, type VmmChoice } from "../vmm/select.ts";
import { checkConfinement } from "./check-confinement.ts";
import { packagesOf } from "./check-programs.ts";
import { fault, faultOf, type Finding, good } from "./finding.ts";
import type { HostFacts } from "./host-facts.ts";
import { type PackageManager, requirement } from "./requirements.ts";

const SUPPORTED_PLATFORM = "linux-x86_64";
/** Node's names of architectures in the kernel's words (uname -m). */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64", ia32: "i686" };

export interface MachineFindings {
  readonly findings: readonly Finding[];
  readonly kvm: DoctorReport["kvm"];
  readonly machine: DoctorReport["machine"];
}

export function platformName({ platform, arch }: HostFacts): string {
  return `${platform}-${ARCHITECTURES[arch] ?? arch}`;
}

/** Looks for a VMM and runs a vCPU; within 2.2 s, and at once when it was done before since the host booted. */
export async function checkMachine(
  facts: HostFacts,
  paths: HostPaths,
  manager: PackageManager | undefined,
): Promise<MachineFindings> {
  const platform = platformName(facts);
  if (platform !== SUPPORTED_PLATFORM) {
    const detail = `${platform} has no guests yet: pyro needs a Linux host with an x86_64 CPU`;
    const kvm = { exists: false, readable: false, writable: false, usable: false, reason: `not looked at: ${detail}` };
    return { findings: [fault("platform", detail, { required: true })], kvm, machine: null };
  }
  const [qemu, device, confinement] = await Promise.all([
    findQemu(facts.env).catch((failure: unknown) => ({ failure })),
    facts.kvmDevice(),
    // Without a launcher nothing is started at all; that is another check's line.
    facts
      .confinement()
      .catch((failure: unknown) => ({ level: "reduced", reason: PyroError.from(failure).message }) as const),
  ]);
  const found = "failure" in qemu ? undefined : qemu;
  const kvm = await probeKvm(paths, { qemu: found, device });
  const machine = found === undefined ? undefined : await chooseMachine(facts, paths, { qemu: found, kvm });
  const findings = [
    good("platform", platform, { required: true }),
    "failure" in qemu
      ? faultOf("qemu", qemu.failure, { required: true, packages: packagesOf(requirement("qemu"), manager) })
      : good("qemu", `${qemu.path} ${qemu.version}`, { required: true }),
    cpuFinding(facts),
    kvmFinding(facts, kvm),
    await checkConfinement(facts, confinement),
    ...(machine === undefined ? [] : [machine.finding]),
  ];
  return {
    findings,
    kvm: withoutFix(kvm),
    machine: machine?.choice === undefined ? null : reported(machine.choice, confinement),
  };
}

async function chooseMachine(
  facts: HostFacts,
  paths: HostPaths,
  found: { qemu: QemuProgram; kvm: KvmAnswer },
): Promise<{ finding: Finding; choice?: VmmChoice }> {
  try {
    const choice = chooseVmm(found, { machine: facts.env["PYRO_MACHINE"] });
    // KVM was proved by running a vCPU; so is emulation, which a QEMU without its firmware or seccomp cannot do either.
    const outcome =
      choice.accelerator === "kvm" ? { ran: true, reason: found.kvm.reason } : await probeEmulation(paths, found.qemu);
    if (outcome.ran)
      return {
        choice,
        finding: good("machine", `QEMU with ${choice.accelerator.toUpperCase()}: ${choice.reason}`, { required: true }),
      };
    return {
      finding: fault("machine", `QEMU does not run even an emulated guest: ${outcome.reason}`, { required: true }),
    };
  } catch (failure) {
    return { finding: faultOf("machine", failure, { required: true }) };
  }
}

function cpuFinding(facts: HostFacts): Finding {
  try {
    const { name, tscKhz } = facts.cpu();
    return good("cpu", `${name}, time stamp counter at ${tscKhz} kHz`, { required: true });
  } catch (failure) {
    return faultOf("cpu", failure, { required: true });
  }
}

function kvmFinding(facts: HostFacts, { usable, reason, fix }: KvmAnswer): Finding {
  const required = facts.env["PYRO_MACHINE"] === "qemu-kvm";
  if (usable) return good("kvm", reason, { required });
  // Who may open the device itself is the administrator's to decide; joining its group or loading its module is harmless.
  const automatic = fix !== null && !fix.includes("chmod");
  return fault("kvm", `${reason}; guests are emulated: slower, and isolation=emulated`, { required, fix, automatic });
}

function withoutFix({ exists, readable, writable, usable, reason }: KvmAnswer): DoctorReport["kvm"] {
  return { exists, readable, writable, usable, reason };
}

function reported(choice: VmmChoice, confinement: Confinement): DoctorReport["machine"] {
  return {
    vmm: choice.kind,
    vmm_version: choice.version,
    accelerator: choice.accelerator,
    isolation: choice.isolation,
    confinement: confinement.level,
    confinement_reason: confinement.reason,
    execution_mode: choice.executionMode,
    reason: choice.reason,
  };
}
