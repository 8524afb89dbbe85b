/** QEMU behind the driver interface. */
import { open } from "node:fs/promises";
import type { VmmDriver } from "../driver.ts";
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
    templateIdentity: ["qemu", options.version, accelerator, options.cpuIdentity, tscKhz].join(" "),
    boot: async (plan, { memoryPath }) => {
      const memory =
        memoryPath === undefined
          ? ({ kind: "anonymous" } as const)
          : ({ kind: "shared-file", path: memoryPath } as const);
      return await QemuMachine.start(options, plan, qemuArguments({ plan, accelerator, tscKhz, memory }));
    },
    restore: async (plan, template) => {
      const state = await open(template.statePath, "r");
      try {
        const memory = { kind: "private-file", path: template.memoryPath } as const;
        const args = qemuArguments({ plan, accelerator, tscKhz, memory, incoming: true });
        const machine = await QemuMachine.start(options, plan, args, state.fd);
        await machine.load();
        return machine;
      } finally {
        // The launcher has its own copy from the moment of the spawn.
        await state.close();
      }
    },
  };
}
