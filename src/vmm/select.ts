/** Which VMM and accelerator a machine gets. */
import { PyroError } from "../contract/error.ts";
import { MACHINE_NAMES, type MachineName } from "../contract/run.ts";
import type { HostPaths } from "../host/paths.ts";
import { findFirecracker, type FirecrackerProgram } from "./firecracker/binary.ts";
import { type KvmAnswer, probeKvm } from "./kvm-probe.ts";
import { findQemu, type QemuProgram } from "./qemu/version.ts";

interface Choice {
  readonly name: MachineName;
  readonly isolation: "hardware" | "emulated";
  readonly executionMode: "guest_vsock" | "guest_serial";
  /** One line: why this one and not a better one. */
  readonly reason: string;
}

interface FirecrackerChoice extends Choice {
  readonly kind: "firecracker";
  readonly accelerator: "kvm";
  readonly program: FirecrackerProgram;
}

interface QemuChoice extends Choice {
  readonly kind: "qemu";
  readonly accelerator: "kvm" | "tcg";
  readonly program: QemuProgram;
}

export type VmmChoice = FirecrackerChoice | QemuChoice;

export type RequiredIsolation = "any" | "hardware";

/** What was found out of the host: each VMM, or why it cannot be used. */
export interface VmmFacts {
  readonly firecracker: FirecrackerProgram | PyroError;
  readonly qemu: QemuProgram | PyroError;
  readonly kvm: KvmAnswer;
}

export interface VmmWishes {
  /** What this one call asks for; it goes before the variable. */
  readonly machine?: MachineName | undefined;
  /** Value of PYRO_MACHINE: one of MACHINE_NAMES, or undefined or empty for the best that works. */
  readonly variable?: string | undefined;
  readonly requireIsolation?: RequiredIsolation;
}

/** Why a machine cannot be had on this host, or undefined when it can. */
const OBSTACLES: Readonly<Record<MachineName, (facts: VmmFacts) => string | undefined>> = {
  firecracker: ({ firecracker, kvm }) => problemOf(firecracker) ?? problemOfKvm(kvm),
  "qemu-kvm": ({ qemu, kvm }) => problemOf(qemu) ?? problemOfKvm(kvm),
  "qemu-tcg": ({ qemu }) => problemOf(qemu),
};

const problemOf = (program: object): string | undefined => (PyroError.is(program) ? program.message : undefined);
const problemOfKvm = ({ usable, reason }: KvmAnswer): string | undefined => (usable ? undefined : reason);

/**
 * Looks at the host and chooses.
 * @throws PyroError dependency_missing without a VMM, invalid_argument for an unknown PYRO_MACHINE, host_unsupported
 *   when what is asked for cannot be had here
 */
export async function selectVmm(options: {
  paths: HostPaths;
  env?: NodeJS.ProcessEnv;
  machine?: MachineName | undefined;
  requireIsolation?: RequiredIsolation;
}): Promise<VmmChoice> {
  const { paths, env = process.env, machine, requireIsolation = "any" } = options;
  const wishes = { machine, variable: env["PYRO_MACHINE"], requireIsolation };
  // Before anything slow: a typing error is told at once.
  wanted(wishes);
  const qemu = await findQemu(env).catch((failure: unknown) => PyroError.from(failure));
  const search = async (): Promise<FirecrackerProgram | PyroError> =>
    await findFirecracker({ paths, env }).catch((failure: unknown) => PyroError.from(failure));
  // Where QEMU runs the probe and KVM does not work, nobody waits for a Firecracker that could not be taken.
  const forProbe = PyroError.is(qemu) ? await search() : undefined;
  const kvm = await probeKvm(paths, { qemu: usable(qemu), firecracker: usable(forProbe) });
  const looked = forProbe ?? (kvm.usable || machine === "firecracker" ? await search() : NOT_LOOKED_FOR);
  return chooseVmm({ firecracker: looked, qemu, kvm }, wishes);
}

const NOT_LOOKED_FOR = new PyroError("host_unsupported", "Firecracker needs a KVM that works");

const usable = <Program extends object>(found: Program | PyroError | undefined): Program | undefined =>
  PyroError.is(found) ? undefined : found;

/** Chooses by what is known; pure. Throws as `selectVmm` does. */
export function chooseVmm(facts: VmmFacts, wishes: VmmWishes = {}): VmmChoice {
  const asked = wanted(wishes);
  const name = asked?.name ?? MACHINE_NAMES.find((each) => OBSTACLES[each](facts) === undefined);
  if (name === undefined) throw noMachine(facts);
  const obstacle = OBSTACLES[name](facts);
  if (obstacle !== undefined) throw cannotBeHad(name, obstacle, { facts, asked });
  const choice = withName(name, facts, asked === undefined ? reasonFor(name, facts) : `asked for with ${asked.how}`);
  if (wishes.requireIsolation === "hardware" && choice.isolation !== "hardware") throw onlyEmulated(facts, asked);
  return choice;
}

function withName(name: MachineName, { firecracker, qemu, kvm }: VmmFacts, reason: string): VmmChoice {
  if (name === "firecracker" && !PyroError.is(firecracker)) {
    const common = { name, isolation: "hardware", executionMode: "guest_vsock", reason } as const;
    return { ...common, kind: "firecracker", accelerator: "kvm", program: firecracker };
  }
  // The row of the table that was taken says that it is there.
  if (PyroError.is(qemu)) throw noMachine({ firecracker, qemu, kvm });
  const hardware = name === "qemu-kvm";
  return {
    name,
    isolation: hardware ? "hardware" : "emulated",
    executionMode: "guest_serial",
    reason,
    kind: "qemu",
    accelerator: hardware ? "kvm" : "tcg",
    program: qemu,
  };
}

/** A machine that was asked for, and by what. */
interface Wanted {
  readonly name: MachineName;
  /** For messages: "PYRO_MACHINE=qemu-kvm". */
  readonly how: string;
  /** What takes the wish back. */
  readonly remedy: string;
}

function wanted({ machine, variable }: VmmWishes): Wanted | undefined {
  if (machine !== undefined) {
    return { name: machine, how: `machine ${machine}`, remedy: "leave it out to take the best that works" };
  }
  if (variable === undefined || variable === "") return undefined;
  const name = MACHINE_NAMES.find((each) => each === variable);
  if (name !== undefined) {
    return { name, how: `PYRO_MACHINE=${name}`, remedy: "unset PYRO_MACHINE to take the best that works" };
  }
  const known = MACHINE_NAMES.join(", ");
  throw new PyroError("invalid_argument", `PYRO_MACHINE is ${variable}, and the known machines are ${known}`, {
    remedy: "set PYRO_MACHINE to one of them, or unset it to take the best that works",
  });
}

/** Why this one, and why none of those before it. */
function reasonFor(name: MachineName, { firecracker, kvm }: VmmFacts): string {
  if (name === "firecracker") return `KVM works: ${kvm.reason}`;
  // Without KVM there is no Firecracker either: one reason for both.
  if (name === "qemu-tcg") return `emulation, because KVM does not work here: ${kvm.reason}`;
  return `KVM works: ${kvm.reason}; not Firecracker: ${problemOf(firecracker) ?? "it was not asked for"}`;
}

function cannotBeHad(
  name: MachineName,
  obstacle: string,
  { facts, asked }: { facts: VmmFacts; asked: Wanted | undefined },
): PyroError {
  const program = name === "firecracker" ? facts.firecracker : facts.qemu;
  const remedy = PyroError.is(program) ? program.remedy : (facts.kvm.fix ?? undefined);
  return new PyroError("host_unsupported", `${asked?.how ?? name} cannot run here: ${obstacle}`, {
    remedy: remedy ?? asked?.remedy ?? "run `pyro doctor`",
  });
}

/** There is no QEMU, and Firecracker or KVM fails: the shortest way to a machine is named. */
function noMachine({ firecracker, qemu, kvm }: VmmFacts): PyroError {
  const without = problemOf(qemu) ?? "QEMU was not asked for";
  const instead =
    problemOf(firecracker) ?? `Firecracker needs a KVM that works, and ${problemOfKvm(kvm) ?? "there is one"}`;
  const remedies = [kvm.usable && PyroError.is(firecracker) ? firecracker.remedy : undefined, remedyOf(qemu)];
  return new PyroError("dependency_missing", `no machine can run here: ${without}; ${instead}`, {
    remedy: remedies.filter((each) => each !== undefined).join("; or ") || "run `pyro doctor`",
  });
}

const remedyOf = (program: QemuProgram | PyroError): string | undefined =>
  PyroError.is(program) ? program.remedy : undefined;

function onlyEmulated({ kvm }: VmmFacts, asked: Wanted | undefined): PyroError {
  const why = asked === undefined ? kvm.reason : `${asked.how} asks for emulation`;
  const message = `hardware isolation is required, and a guest would only be emulated: ${why}`;
  return new PyroError("host_unsupported", message, {
    remedy: asked?.remedy ?? kvm.fix ?? "use a host where KVM works (docs/host-requirements.md), or do not require it",
  });
}
