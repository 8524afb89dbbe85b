/** QEMU behind the driver interface. */
import { open } from "node:fs/promises";
import { PyroError } from "../../contract/error.ts";
import type { MachinePlan, VmmDriver } from "../driver.ts";
import { qemuArguments } from "./arguments.ts";
import { QemuMachine } from "./machine.ts";

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
}

/** A driver for one QEMU binary with one accelerator. */
export function qemuDriver(options: QemuDriverOptions): VmmDriver {
  const { accelerator, tscKhz } = options;
  return {
    kind: "qemu",
    accelerator,
    executionMode: "guest_serial",
    kernelFormat: "bzimage",
    templateIdentity: ["qemu", options.version, accelerator, options.cpuIdentity, tscKhz].join(" "),
    boot: async (plan, { memoryPath }) => {
      const memory =
        memoryPath === undefined
          ? ({ kind: "anonymous" } as const)
          : ({ kind: "shared-file", path: memoryPath } as const);
      return await QemuMachine.start(options, plan, qemuArguments({ plan, accelerator, tscKhz, memory }));
    },
    restore: async (plan, template, signal) => {
      const memory = { kind: "private-file", path: template.memoryPath } as const;
      const args = qemuArguments({ plan, accelerator, tscKhz, memory, incoming: true });
      const machine = await startWithState(options, plan, args, template.statePath);
      const onAbort = (): void => void machine.kill();
      signal?.addEventListener("abort", onAbort, { once: true });
      try {
        await machine.load();
        return machine;
      } finally {
        signal?.removeEventListener("abort", onAbort);
      }
    },
  };
}

async function startWithState(
  options: QemuDriverOptions,
  plan: MachinePlan,
  args: readonly string[],
  statePath: string,
): Promise<QemuMachine> {
  const state = await open(statePath, "r").catch((cause: unknown) => {
    throw new PyroError("artifact_corrupt", "the template's device state cannot be read", { cause });
  });
  try {
    return await QemuMachine.start(options, plan, args, state.fd);
  } finally {
    // The launcher has its own copy from the moment of the spawn.
    await state.close();
  }
}
