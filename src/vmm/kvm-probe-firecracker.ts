/** Runs the probe's guest in Firecracker, on a host that has no QEMU. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PyroError } from "../contract/error.ts";
import type { FirecrackerProgram } from "./firecracker/binary.ts";
import { BEGIN_MARK, END_MARK, probeElf } from "./kvm-probe-elf.ts";
import type { VcpuOutcome, VcpuProbe } from "./kvm-probe-vcpu.ts";
import { timeOfVersion, watchVcpu } from "./kvm-probe-watch.ts";

/** As for QEMU: a CPU is through the loop in 10 ms, and a KVM that does not work is not after 8 s. */
const LOOP_DEADLINE_MS = 1000;
/** From the start of Firecracker to the first instruction: 20 ms. */
const START_DEADLINE_MS = 1000;
/**
 * `firecracker --version` takes 5 ms; on a host where it takes much longer, so does everything else. In a nested machine
 * under TCG it takes 0.1–0.25 s and the loop 0.2–0.4 s (measured).
 */
const SLOWNESS_FACTOR = 40;
/** Firecracker refuses less than it needs for its own tables below the kernel. */
const MEMORY_MIB = 16;

export interface FirecrackerVcpuProbeOptions {
  readonly firecracker: FirecrackerProgram;
  /** Kernel to run; default: the probe's. For tests. */
  readonly image?: Buffer;
  readonly startDeadlineMs?: number;
  readonly loopDeadlineMs?: number;
}

export function firecrackerVcpuProbe(options: FirecrackerVcpuProbeOptions): VcpuProbe {
  const { path, version, fileIdentity } = options.firecracker;
  return {
    identity: ["firecracker", "kvm", path, version, fileIdentity].join(" "),
    run: async () => {
      try {
        return await runIn(await mkdtemp(join(tmpdir(), "pyro-probe-")), options);
      } catch (failure) {
        return { ran: false, reason: PyroError.from(failure).message, lasting: false };
      }
    },
  };
}

async function runIn(directory: string, options: FirecrackerVcpuProbeOptions): Promise<VcpuOutcome> {
  try {
    const kernel = join(directory, "probe.elf");
    const config = join(directory, "probe.json");
    await writeFile(kernel, options.image ?? probeElf());
    await writeFile(
      config,
      JSON.stringify({
        "boot-source": { kernel_image_path: kernel, boot_args: "" },
        "machine-config": { vcpu_count: 1, mem_size_mib: MEMORY_MIB },
        drives: [],
      }),
    );
    const { path } = options.firecracker;
    const slownessMs = await timeOfVersion(path);
    return await watchVcpu({
      name: "Firecracker",
      path,
      args: ["--no-api", "--config-file", config],
      startMark: BEGIN_MARK,
      hasEnded: ({ code, output }) => code === 0 && output.includes(END_MARK),
      startMs: options.startDeadlineMs ?? Math.max(START_DEADLINE_MS, slownessMs * SLOWNESS_FACTOR),
      loopMs: options.loopDeadlineMs ?? Math.max(LOOP_DEADLINE_MS, slownessMs * SLOWNESS_FACTOR),
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
