/** Platform, VMM, KVM, and which machine comes of them. */
import { PyroError } from "../contract/error.ts";
import type { DoctorReport } from "../contract/host-operations.ts";
import type { Confinement } from "../vmm/confinement.ts";
import type { HostPaths } from "../host/paths.ts";
import { findFirecracker } from "../vmm/firecracker/binary.ts";
import { type KvmAnswer, probeEmulation, probeKvm } from "../vmm/kvm-probe.ts";
import { findQemu, type QemuProgram } from "../vmm/qemu/version.ts";
import { chooseVmm, type VmmChoice, type VmmFacts } from "../vmm/select.ts";
import { checkConfinement } from "./check-confinement.ts";
import { checkFirecracker } from "./check-firecracker.ts";
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
  readonly firecracker: DoctorReport["firecracker"];
  readonly fixDownload: DoctorReport["fix_download"];
}

export function platformName({ platform, arch }: HostFacts): string {
  return `${platform}-${ARCHITECTURES[arch] ?? arch}`;
}

/** Looks for the VMMs and runs a vCPU; within 2.2 s, and at once when it was done before since the host booted. */
export async function checkMachine(
  facts: HostFacts,
  paths: HostPaths,
  manager: PackageManager | undefined,
): Promise<MachineFindings> {
  const platform = platformName(facts);
  if (platform !== SUPPORTED_PLATFORM) {
    const detail = `${platform} has no guests yet: pyro needs a Linux host with an x86_64 CPU`;
    const kvm = { exists: false, readable: false, writable: false, usable: false, reason: `not looked at: ${detail}` };
    const findings = [fault("platform", detail, { required: true })];
    return { findings, kvm, machine: null, firecracker: null, fixDownload: null };
  }
  const [qemu, firecracker, device, confinement] = await Promise.all([
    findQemu(facts.env).catch((failure: unknown) => PyroError.from(failure)),
    findFirecracker({ paths, env: facts.env }).catch((failure: unknown) => PyroError.from(failure)),
    facts.kvmDevice(),
    // Without a launcher nothing is started at all; that is another check's line.
    facts
      .confinement()
      .catch((failure: unknown) => ({ level: "reduced", reason: PyroError.from(failure).message }) as const),
  ]);
  const kvm = await probeKvm(paths, {
    qemu: PyroError.is(qemu) ? undefined : qemu,
    firecracker: PyroError.is(firecracker) ? undefined : firecracker,
    device,
  });
  const machine = await chooseMachine(facts, paths, { qemu, firecracker, kvm });
  const vmms = checkFirecracker(facts, paths, { found: firecracker, kvmUsable: kvm.usable });
  // A host that runs its guests in Firecracker needs no QEMU.
  const qemuRequired = machine.choice?.kind !== "firecracker";
  const findings = [
    good("platform", platform, { required: true }),
    qemuFinding(qemu, qemuRequired, manager),
    vmms.finding,
    cpuFinding(facts),
    kvmFinding(facts, kvm),
    await checkConfinement(facts, confinement),
    ...(machine.finding === undefined ? [] : [machine.finding]),
  ];
  return {
    findings,
    kvm: withoutFix(kvm),
    machine: machine.choice === undefined ? null : reported(machine.choice, confinement),
    firecracker: vmms.firecracker,
    fixDownload: vmms.fixDownload,
  };
}

function qemuFinding(qemu: QemuProgram | PyroError, required: boolean, manager: PackageManager | undefined): Finding {
  const id = "qemu";
  if (!PyroError.is(qemu)) return good(id, `${qemu.path} ${qemu.version}`, { required });
  if (!required) return good(id, `${qemu.message}; not needed: Firecracker runs the guests`, { required });
  return faultOf(id, qemu, { required, packages: packagesOf(requirement(id), manager) });
}

/** No finding: there is no VMM, which has a line of its own. */
async function chooseMachine(
  facts: HostFacts,
  paths: HostPaths,
  found: VmmFacts,
): Promise<{ finding?: Finding; choice?: VmmChoice }> {
  const required = true;
  const variable = facts.env["PYRO_MACHINE"] ?? "";
  try {
    const choice = chooseVmm(found, { variable });
    // KVM was proved by running a vCPU; so is emulation, which a QEMU without its firmware or seccomp cannot do either.
    const outcome =
      choice.kind === "qemu" && choice.accelerator === "tcg"
        ? await probeEmulation(paths, choice.program)
        : { ran: true, reason: found.kvm.reason };
    if (!outcome.ran) {
      return { finding: fault("machine", `QEMU does not run even an emulated guest: ${outcome.reason}`, { required }) };
    }
    const vmm = choice.kind === "firecracker" ? "Firecracker" : "QEMU";
    const detail = `${vmm} with ${choice.accelerator.toUpperCase()}: ${choice.reason}`;
    return { choice, finding: good("machine", detail, { required }) };
  } catch (failure) {
    if (PyroError.is(failure) && failure.code === "dependency_missing" && variable === "") return {};
    return { finding: faultOf("machine", failure, { required }) };
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
  const required = ["firecracker", "qemu-kvm"].includes(facts.env["PYRO_MACHINE"] ?? "");
  if (usable) return good("kvm", reason, { required });
  // Who may open the device itself is the administrator's to decide; joining its group or loading its module is harmless.
  const automatic = fix !== null && !fix.includes("chmod");
  return fault("kvm", `${reason}; guests are emulated: slower, and isolation=emulated`, { required, fix, automatic });
}

function withoutFix({ exists, readable, writable, usable, reason }: KvmAnswer): DoctorReport["kvm"] {
  return { exists, readable, writable, usable, reason };
}

function reported(choice: VmmChoice, confinement: Confinement): DoctorReport["machine"] {
  const { name, kind, program, accelerator, isolation, executionMode, reason } = choice;
  return {
    name,
    vmm: kind,
    vmm_version: program.version,
    accelerator,
    isolation,
    confinement: confinement.level,
    confinement_reason: confinement.reason,
    execution_mode: executionMode,
    reason,
  };
}
