/** Runs the probe's guest in QEMU, as the driver would run a real one: same machine, same CPU, same sandbox. */
import { cpuModel } from "./qemu/cpu-model.ts";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PyroError } from "../contract/error.ts";
import { ended, runProgram, startProgram } from "../host/process.ts";
import type { Accelerator } from "./driver.ts";
import { EXIT_PORT, EXIT_STATUS, probeBios, STARTED_MARK, STARTED_PORT } from "./kvm-probe-image.ts";
import type { VcpuOutcome, VcpuProbe } from "./kvm-probe-vcpu.ts";
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
const VERSION_DEADLINE_MS = 10_000;
/** How much longer than usual a process may take to be gone after SIGKILL: the kernel may be busy in its vCPU. */
const KILL_GRACE_MS = 5000;
const LOG_CHARS_MAX = 400;

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
    const slownessMs = await timeOfVersion(options.qemu);
    return await watch(options.qemu, probeArguments(options.accelerator, bios), {
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

/** Milliseconds, rounded up. The file has just been read for its version, so no disk is in it. */
async function timeOfVersion({ path }: QemuProgram): Promise<number> {
  const begin = performance.now();
  await runProgram(path, ["--version"], { deadlineMs: VERSION_DEADLINE_MS });
  return Math.ceil(performance.now() - begin);
}

interface Deadlines {
  readonly startMs: number;
  readonly loopMs: number;
}

/** Starts QEMU and kills it when either stage takes too long: there is nothing in it that could be lost. */
async function watch(qemu: QemuProgram, args: readonly string[], { startMs, loopMs }: Deadlines): Promise<VcpuOutcome> {
  const child = startProgram(qemu.path, args, { stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  let startedAt: number | undefined;
  let late: string | undefined;
  const killAfter = (milliseconds: number, what: string): NodeJS.Timeout =>
    setTimeout(() => {
      late = `${what} within ${milliseconds} ms`;
      child.kill("SIGKILL");
    }, milliseconds);
  let timer = killAfter(startMs, "a vCPU did not begin");
  child.stderr?.on("data", (data: Buffer) => (log = (log + data.toString()).slice(-LOG_CHARS_MAX)));
  child.stdout?.on("data", (data: Buffer) => {
    if (startedAt !== undefined || !data.includes(STARTED_MARK)) return;
    startedAt = performance.now();
    clearTimeout(timer);
    timer = killAfter(loopMs, "a vCPU began and did not get through its loop");
  });
  try {
    const { code, signal } = await ended(child, qemu.path, { deadlineMs: startMs + loopMs + KILL_GRACE_MS });
    if (code === EXIT_STATUS && startedAt !== undefined) return ranSince(startedAt);
    if (late !== undefined) return { ran: false, reason: late, lasting: true };
    // A crash of QEMU lasts; a refusal in its own words (status 1) may be mended.
    return {
      ran: false,
      reason: `QEMU ended with ${signal ?? `status ${code}`}${lastWords(log)}`,
      lasting: code === null,
    };
  } finally {
    clearTimeout(timer);
  }
}

function ranSince(startedAt: number): VcpuOutcome {
  const milliseconds = Math.max(1, Math.round(performance.now() - startedAt));
  return { ran: true, reason: `a vCPU ran through its loop in ${milliseconds} ms`, lasting: true };
}

/** QEMU's own words that say most: the first error, else the last line. */
function lastWords(log: string): string {
  const lines = log.trim().split("\n");
  const line = lines.find((each) => each.includes("error:")) ?? lines.at(-1) ?? "";
  return line === "" ? "" : `: ${line.replace(/^qemu-system-x86_64: /, "")}`;
}
