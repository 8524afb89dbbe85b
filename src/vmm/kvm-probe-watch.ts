/** Watches a VMM that runs the probe's guest: when it begins, when it ends, and how. */
import { ended, runProgram, startProgram } from "../host/process.ts";
import type { VcpuOutcome } from "./kvm-probe-vcpu.ts";

const VERSION_DEADLINE_MS = 10_000;
/** How much longer than usual a process may take to be gone after SIGKILL: the kernel may be busy in its vCPU. */
const KILL_GRACE_MS = 5000;
/** Characters kept of what the VMM says, the guest's marks among them. */
const LOG_CHARS_MAX = 2000;

export interface WatchedVmm {
  /** For messages: "QEMU". */
  readonly name: string;
  readonly path: string;
  readonly args: readonly string[];
  /** What the guest says first, on the VMM's standard output. */
  readonly startMark: string;
  /** Whether the guest came to its end, from how the VMM ended and what was on its standard output. */
  readonly hasEnded: (end: { code: number | null; output: string }) => boolean;
  /** From the start of the VMM to the first instruction. */
  readonly startMs: number;
  /** From the first instruction to the last. */
  readonly loopMs: number;
}

/** Milliseconds that `--version` takes, rounded up. The file has just been read for its version, so no disk is in it. */
export async function timeOfVersion(path: string): Promise<number> {
  const begin = performance.now();
  await runProgram(path, ["--version"], { deadlineMs: VERSION_DEADLINE_MS });
  return Math.ceil(performance.now() - begin);
}

/** Starts the VMM and kills it when either stage takes too long: there is nothing in it that could be lost. */
export async function watchVcpu(vmm: WatchedVmm): Promise<VcpuOutcome> {
  const child = startProgram(vmm.path, vmm.args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  let startedAt: number | undefined;
  let late: string | undefined;
  const killAfter = (milliseconds: number, what: string): NodeJS.Timeout =>
    setTimeout(() => {
      late = `${what} within ${milliseconds} ms`;
      child.kill("SIGKILL");
    }, milliseconds);
  let timer = killAfter(vmm.startMs, "a vCPU did not begin");
  child.stderr?.on("data", (data: Buffer) => (errors = (errors + data.toString()).slice(-LOG_CHARS_MAX)));
  child.stdout?.on("data", (data: Buffer) => {
    output = (output + data.toString("latin1")).slice(-LOG_CHARS_MAX);
    if (startedAt !== undefined || !output.includes(vmm.startMark)) return;
    startedAt = performance.now();
    clearTimeout(timer);
    timer = killAfter(vmm.loopMs, "a vCPU began and did not get through its loop");
  });
  try {
    const { code, signal } = await ended(child, vmm.path, { deadlineMs: vmm.startMs + vmm.loopMs + KILL_GRACE_MS });
    if (startedAt !== undefined && vmm.hasEnded({ code, output })) return ranSince(startedAt);
    if (late !== undefined) return { ran: false, reason: late, lasting: true };
    // A crash of the VMM lasts; a refusal in its own words may be mended.
    const how = `${vmm.name} ended with ${signal ?? `status ${code}`}${lastWords(errors.trim() || output.trim())}`;
    return { ran: false, reason: how, lasting: code === null };
  } finally {
    clearTimeout(timer);
  }
}

function ranSince(startedAt: number): VcpuOutcome {
  const milliseconds = Math.max(1, Math.round(performance.now() - startedAt));
  return { ran: true, reason: `a vCPU ran through its loop in ${milliseconds} ms`, lasting: true };
}

/** The VMM's own words that say most: the first error, else the last line. */
function lastWords(log: string): string {
  const lines = log.split("\n");
  const line = lines.find((each) => /\berror\b/i.test(each)) ?? lines.at(-1) ?? "";
  return line === "" ? "" : `: ${line.replace(/^qemu-system-x86_64: |^\S+ \[anonymous-instance:\S+\] /, "")}`;
}
