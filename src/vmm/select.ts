/** Which VMM with which accelerator, and why: decided in one place, shown by doctor in one line. */
import { PyroError } from "../contract/error.ts";
import type { HostPaths } from "../host/paths.ts";
import type { Accelerator, VmmKind } from "./driver.ts";
import { type KvmAnswer, probeKvm } from "./kvm-probe.ts";
import { findQemu, type QemuProgram } from "./qemu/version.ts";

export interface VmmChoice {
  readonly kind: VmmKind;
  readonly accelerator: Accelerator;
  /** Absolute path of the VMM. */
  readonly binary: string;
  readonly version: string;
  readonly isolation: "hardware" | "emulated";
  readonly executionMode: "guest_vsock" | "guest_serial";
  /** One line: why this one and not a better one. */
  readonly reason: string;
}

export type RequiredIsolation = "any" | "hardware";

/** What was found out of the host, best machine's needs first. */
export interface VmmFacts {
  readonly qemu: QemuProgram;
  readonly kvm: KvmAnswer;
}

export interface VmmWishes {
  /** Value of PYRO_MACHINE: one of MACHINES, or undefined or empty for the best that works. */
  readonly machine?: string | undefined;
  readonly requireIsolation?: RequiredIsolation;
}

/**
 * The machines there are, in order of preference: the first one that works is taken. Firecracker will stand first.
 * Each says why it cannot be had, or undefined when it can.
 */
const MACHINES = {
  "qemu-kvm": {
    kind: "qemu",
    accelerator: "kvm",
    obstacle: ({ kvm }: VmmFacts) => (kvm.usable ? undefined : kvm.reason),
  },
  "qemu-tcg": { kind: "qemu", accelerator: "tcg", obstacle: () => undefined },
} as const satisfies Record<
  string,
  { kind: VmmKind; accelerator: Accelerator; obstacle: (facts: VmmFacts) => string | undefined }
>;
export type MachineName = keyof typeof MACHINES;
export const MACHINE_NAMES = Object.keys(MACHINES) as readonly MachineName[];

/**
 * Looks at the host and chooses.
 * @throws PyroError dependency_missing without a VMM, invalid_argument for an unknown PYRO_MACHINE, host_unsupported
 *   when what is asked for cannot be had here
 */
export async function selectVmm(options: {
  paths: HostPaths;
  env?: NodeJS.ProcessEnv;
  requireIsolation?: RequiredIsolation;
}): Promise<VmmChoice> {
  const env = options.env ?? process.env;
  const wishes = {
    machine: env["PYRO_MACHINE"],
    ...(options.requireIsolation === undefined ? {} : { requireIsolation: options.requireIsolation }),
  };
  // Before anything slow: a typing error is told at once.
  wantedMachine(wishes);
  const qemu = await findQemu(env);
  return chooseVmm({ qemu, kvm: await probeKvm(options.paths, { qemu }) }, wishes);
}

/** Chooses by what is known; pure. Throws as `selectVmm` does. */
export function chooseVmm(facts: VmmFacts, wishes: VmmWishes = {}): VmmChoice {
  const wanted = wantedMachine(wishes);
  const name = wanted ?? MACHINE_NAMES.find((each) => MACHINES[each].obstacle(facts) === undefined) ?? "qemu-tcg";
  const { kind, accelerator, obstacle } = MACHINES[name];
  const why = obstacle(facts);
  if (why !== undefined) {
    throw new PyroError("host_unsupported", `PYRO_MACHINE asks for ${name}, which cannot run here: ${why}`, {
      remedy: facts.kvm.fix ?? "unset PYRO_MACHINE to take the best that works",
    });
  }
  const isolation = accelerator === "kvm" ? "hardware" : "emulated";
  if (wishes.requireIsolation === "hardware" && isolation !== "hardware") throw onlyEmulated(facts, wanted);
  return {
    kind,
    accelerator,
    binary: facts.qemu.path,
    version: facts.qemu.version,
    isolation,
    executionMode: "guest_serial",
    reason: wanted === undefined ? reasonFor(accelerator, facts) : `asked for with PYRO_MACHINE=${wanted}`,
  };
}

function wantedMachine({ machine }: VmmWishes): MachineName | undefined {
  if (machine === undefined || machine === "") return undefined;
  if (Object.hasOwn(MACHINES, machine)) return machine as MachineName;
  throw new PyroError(
    "invalid_argument",
    `PYRO_MACHINE is ${machine}, and the known machines are ${MACHINE_NAMES.join(", ")}`,
    {
      remedy: "set PYRO_MACHINE to one of them, or unset it to take the best that works",
    },
  );
}

function reasonFor(accelerator: Accelerator, { kvm }: VmmFacts): string {
  return accelerator === "kvm"
    ? `KVM works: ${kvm.reason}`
    : `emulation, because KVM does not work here: ${kvm.reason}`;
}

function onlyEmulated({ kvm }: VmmFacts, wanted: MachineName | undefined): PyroError {
  const why = wanted === undefined ? kvm.reason : `PYRO_MACHINE=${wanted} asks for emulation`;
  return new PyroError(
    "host_unsupported",
    `hardware isolation is required, and a guest would only be emulated: ${why}`,
    {
      remedy:
        wanted === undefined
          ? (kvm.fix ?? "use a host where KVM works (docs/host-requirements.md), or do not require it")
          : "unset PYRO_MACHINE",
    },
  );
}
