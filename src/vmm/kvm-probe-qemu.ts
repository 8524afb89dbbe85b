/** Runs the probe's guest in QEMU, as the driver would run a real one: same machine, same CPU, same sandbox. */
import { cpuModel } from "./qemu/cpu-model.ts";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PyroError } from "../contract/error.ts";
import type { Accelerator } from "./driver.ts";
import { EXIT_PORT, EXIT_STATUS, probeBios, STARTED_MARK, STARTED_PORT } from "./kvm-probe-image.ts";
import type { VcpuOutcome, VcpuProbe } from "./kvm-probe-vcpu.ts";
import { timeOfVersion, watchVcpu } from "./kvm-probe-watch.ts";
import type { QemuProgram } from "./qemu/version.ts";

/**
 * From the first instruction to the last. A CPU needs 10 ms, TCG 50 ms; the rest is for a busy host, and a host whose
 * KVM does not work has not done it after 8 s.
 */
const LOOP_DEADLINE_MS = 1000;
/** From the start of QEMU to the first instruction: 25–60 ms, counted apart so that the loop's second is the loop's. */
const START_DEADLINE_MS = 1000;
/**
 * A nested machine under TCG has a KVM that works and takes 2.0–3.3 s and 0.2–0.8 s for the two (measured). What `qemu
 * --version` takes there, 0.6–2 s against 15 ms, says how slow it is: each deadline is at least so many times that.
 */
const START_FACTOR = 10;
const LOOP_FACTOR = 5;

export interface QemuVcpuProbeOptions {
  readonly qemu: QemuProgram;
  readonly accelerator: Accelerator;
  /** Firmware to run; default: the probe's. For tests. */
  readonly image?: Buffer;
  readonly startDeadlineMs?: number;
  readonly loopDeadlineMs?: number;
}

export function qemuVcpuProbe(options: QemuVcpuProbeOptions): VcpuProbe {
  const { qemu, accelerator } = options;
  return {
    identity: ["qemu", accelerator, qemu.path, qemu.version, qemu.fileIdentity].join(" "),
    run: async () => {
      try {
        return await runIn(await mkdtemp(join(tmpdir(), "pyro-probe-")), options);
      } catch (failure) {
        return { ran: false, reason: PyroError.from(failure).message, lasting: false };
      }
    },
  };
}

async function runIn(directory: string, options: QemuVcpuProbeOptions): Promise<VcpuOutcome> {
  try {
    const bios = join(directory, "probe.bios");
    await writeFile(bios, options.image ?? probeBios());
    const { path } = options.qemu;
    const slownessMs = await timeOfVersion(path);
    return await watchVcpu({
      name: "QEMU",
      path,
      args: probeArguments(options.accelerator, bios),
      startMark: STARTED_MARK,
      hasEnded: ({ code }) => code === EXIT_STATUS,
      startMs: options.startDeadlineMs ?? Math.max(START_DEADLINE_MS, slownessMs * START_FACTOR),
      loopMs: options.loopDeadlineMs ?? Math.max(LOOP_DEADLINE_MS, slownessMs * LOOP_FACTOR),
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Exported for the test that holds CPU and sandbox against the driver's own. */
export function probeArguments(accelerator: Accelerator, bios: string): string[] {
  return [
    ...["-M", "microvm,x-option-roms=off,isa-serial=off"],
    ...["-accel", accelerator, "-cpu", cpuModel(accelerator)],
    ...["-smp", "1", "-m", "16M", "-bios", bios.replaceAll(",", ",,")],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-device", `isa-debug-exit,iobase=${EXIT_PORT},iosize=1`],
    ...["-chardev", "stdio,id=started,signal=off", "-device", `isa-debugcon,iobase=${STARTED_PORT},chardev=started`],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
  ];
}
