/** QEMU behind the driver interface. */
import { close } from "node:fs";
import { open } from "node:fs/promises";
import { promisify } from "node:util";
import { Scope } from "../../host/scope.ts";
import { confinementHere } from "../confinement.ts";
import type { MachinePlan, RunningMachine, TemplateFiles, VmmDriver } from "../driver.ts";
import { isAtLeast } from "../program.ts";
import { sealFiles } from "../sealed-files.ts";
import { FIRST_DESCRIPTOR } from "../vmm-process.ts";
import { qemuArguments } from "./arguments.ts";
import { QemuMachine } from "./machine.ts";

const closeDescriptor = promisify(close);

/** The first whose memory-backend-file has `rom`, and so opens a file for reading only and maps it for writing. */
const READS_MEMORY_ONLY_SINCE = "8.2";

/** Descriptors that a restored QEMU inherits. */
const STATE_DESCRIPTOR = FIRST_DESCRIPTOR;
const MEMORY_DESCRIPTOR = FIRST_DESCRIPTOR + 1;

export interface QemuDriverOptions {
  /** Absolute path of qemu-system-x86_64. */
  readonly binary: string;
  /** For example "7.2.22". */
  readonly version: string;
  readonly accelerator: "kvm" | "tcg";
  /** Absolute path of pyro-launch. */
  readonly launcher: string;
  readonly tscKhz: number;
  /** Names the host's CPU as far as a saved guest depends on it. */
  readonly cpuIdentity: string;
  /** Release of the host's kernel, whose KVM a saved vCPU depends on; one that is emulated does not. */
  readonly hostKernel: string;
}

/** A driver for one QEMU binary with one accelerator. */
export function qemuDriver(options: QemuDriverOptions): VmmDriver {
  const { accelerator, tscKhz } = options;
  const kvm = accelerator === "kvm" ? [options.hostKernel] : [];
  return {
    kind: "qemu",
    accelerator,
    executionMode: "guest_serial",
    kernelFormat: "bzimage",
    templateIdentity: ["qemu", options.version, accelerator, options.cpuIdentity, tscKhz, ...kvm].join(" "),
    boot: async (plan, { memoryPath }) => await boot(options, plan, memoryPath),
    restore: async (plan, template, signal) => {
      const machine = await startFrom(options, plan, template);
      const onAbort = (): void => void machine.kill();
      signal?.addEventListener("abort", onAbort, { once: true });
      try {
        await machine.load(STATE_DESCRIPTOR);
        return machine;
      } finally {
        signal?.removeEventListener("abort", onAbort);
      }
    },
  };
}

async function boot(
  options: QemuDriverOptions,
  plan: MachinePlan,
  memoryPath: string | undefined,
): Promise<RunningMachine> {
  const { accelerator, tscKhz } = options;
  const start = { ...options, readOnlyPaths: [], descriptors: [] };
  if (memoryPath === undefined) {
    const args = qemuArguments({ plan, accelerator, tscKhz, memory: { kind: "anonymous" } });
    return await QemuMachine.start({ ...start, writablePaths: [] }, plan, args);
  }
  // What a jail shows must be there; QEMU gives the file its size.
  await (await open(memoryPath, "wx", 0o600)).close();
  const memory = { kind: "shared-file", path: memoryPath } as const;
  const args = qemuArguments({ plan, accelerator, tscKhz, memory });
  return await QemuMachine.start({ ...start, writablePaths: [memoryPath] }, plan, args);
}

/**
 * Whether this QEMU maps the memory file itself, from a read-only mount, if there is such a mount and QEMU is content with
 * it. Otherwise it is given a sealed copy, as it is of the device state in any case.
 */
async function mapsFile({ launcher, version }: Pick<QemuDriverOptions, "launcher" | "version">): Promise<boolean> {
  return isAtLeast(version, READS_MEMORY_ONLY_SINCE) && (await confinementHere(launcher)).level === "full";
}

const sealedOf = ({ statePath, memoryPath }: TemplateFiles, byPath: boolean): string[] =>
  byPath ? [statePath] : [statePath, memoryPath];

/**
 * Has all that takes long in a restore of `template` done before there is a machine to restore: a server that starts does
 * so for the template that its first call will most likely need. `identity` is that of the driver that made it.
 * @throws PyroError as `sealFiles` does
 */
export async function prepareRestore(launcher: string, template: TemplateFiles, identity: string): Promise<void> {
  const [, version = ""] = identity.split(" ");
  const files = sealedOf(template, await mapsFile({ launcher, version }));
  // Kept for a while by itself.
  (await sealFiles(launcher, files)).release();
}

/** Starts QEMU with a template's memory, in a way that it can never alter the template. */
async function startFrom(options: QemuDriverOptions, plan: MachinePlan, template: TemplateFiles): Promise<QemuMachine> {
  await using scope = new Scope();
  const { accelerator, tscKhz, launcher } = options;
  const { memoryPath } = template;
  const byPath = await mapsFile(options);
  const files = sealedOf(template, byPath);
  const sealed = await sealFiles(launcher, files);
  scope.defer(() => sealed.release());
  const descriptors = await Promise.all(
    files.map(async (_, index) => {
      const descriptor = await sealed.open(index);
      // The launcher has its own copy from the moment of the spawn.
      scope.defer(async () => await closeDescriptor(descriptor));
      return descriptor;
    }),
  );
  const isFull = (await confinementHere(launcher)).level === "full";
  const path = byPath ? memoryPath : `${isFull ? "/dev/fd" : "/proc/self/fd"}/${MEMORY_DESCRIPTOR}`;
  const memory = { kind: "private-file", path, readOnly: byPath } as const;
  const start = { ...options, readOnlyPaths: byPath ? [memoryPath] : [], writablePaths: [], descriptors };
  const args = qemuArguments({ plan, accelerator, tscKhz, memory, incoming: true });
  const machine = await QemuMachine.start(start, plan, args);
  const running = await sealFiles(launcher, files);
  void machine.exited.then(() => running.release());
  return machine;
}
