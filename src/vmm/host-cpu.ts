/** The host's CPU, as far as a guest depends on it: its features, and the rate of its time stamp counter. */
import { createHash } from "node:crypto";
import { closeSync, constants, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { PyroError } from "../contract/error.ts";
import { isErrno } from "../host/files.ts";

export interface HostCpu {
  /** For people: "AMD EPYC". */
  readonly name: string;
  /** Names all that a saved guest relies on: vendor, family, model, stepping and the feature flags. No blanks. */
  readonly identity: string;
  /** Rate of the time stamp counter in kHz; a guest's clock runs by it. */
  readonly tscKhz: number;
}

/** Records of the kernel's log that are looked at: the rate is said within the first few hundred. */
const LOG_RECORDS_MAX = 5000;
/** Longest record of /dev/kmsg (kernel/printk/internal.h, PRINTK_MESSAGE_MAX). */
const LOG_RECORD_BYTES_MAX = 8192;

/** Reads the facts below `root` ("/" outside tests). Throws PyroError host_unsupported when there is no rate to be had. */
export function hostCpu(root = "/"): HostCpu {
  const cpu = firstCpu(readText(root, "proc/cpuinfo") ?? "");
  const field = (name: string): string => cpu.get(name) ?? "";
  const flags = field("flags").split(" ").toSorted().join(" ");
  const identity = ["vendor_id", "cpu family", "model", "stepping"].map((name) => field(name) || "0").join("-");
  return {
    name: field("model name") || "unknown",
    identity: `${identity}-${createHash("sha256").update(flags).digest("hex").slice(0, 16)}`,
    tscKhz: tscKhz(root, cpu),
  };
}

/** Fields of the first CPU in /proc/cpuinfo. */
function firstCpu(cpuinfo: string): Map<string, string> {
  const lines = (cpuinfo.split("\n\n")[0] ?? "").split("\n");
  return new Map(
    lines.map((line) => line.split(":")).map(([name = "", ...rest]) => [name.trim(), rest.join(":").trim()]),
  );
}

/**
 * The best there is first: what the kernel measured; the nominal rate, which is that of the counter on CPUs whose
 * counter is constant; the present rate, which is right where it never changes (most virtual machines).
 */
function tscKhz(root: string, cpu: Map<string, string>): number {
  const nominalGhz = /@ ([\d.]+)\s*GHz/.exec(cpu.get("model name") ?? "")?.[1];
  const candidates = [
    () => kernelLogKhz(root),
    () => Number(nominalGhz) * 1e6,
    () => Number(readText(root, "sys/devices/system/cpu/cpu0/cpufreq/base_frequency")),
    () => Number(readText(root, "sys/devices/system/cpu/cpu0/acpi_cppc/nominal_freq")) * 1000,
    () => Number(cpu.get("cpu MHz")) * 1000,
  ];
  for (const candidate of candidates) {
    const khz = Math.round(candidate() ?? Number.NaN);
    if (Number.isFinite(khz) && khz > 0) return khz;
  }
  throw new PyroError("host_unsupported", "the rate of this host's time stamp counter is not known", {
    remedy: "report it with the output of `head -30 /proc/cpuinfo` and `sudo dmesg | grep -i tsc`",
  });
}

const REFINED_RATE = /tsc: Refined TSC clocksource calibration: ([\d.]+) MHz/;

/** From "tsc: Refined TSC clocksource calibration: 2595.124 MHz", else from "tsc: Detected 2596.120 MHz processor". */
export function tscKhzOfLog(log: string): number | undefined {
  const match = REFINED_RATE.exec(log) ?? /tsc: Detected ([\d.]+) MHz/.exec(log);
  return match?.[1] === undefined ? undefined : Number(match[1]) * 1000;
}

/** Undefined when the log may not be read (kernel.dmesg_restrict) or has forgotten its beginning. */
function kernelLogKhz(root: string): number | undefined {
  let log: number;
  try {
    log = openSync(join(root, "dev/kmsg"), constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    return tscKhzOfLog(readRecords(log));
  } finally {
    closeSync(log);
  }
}

/** Each read gives one record, and EAGAIN after the last one (Documentation/ABI/testing/dev-kmsg). */
function readRecords(log: number): string {
  const buffer = Buffer.alloc(LOG_RECORD_BYTES_MAX);
  let found = "";
  for (let count = 0; count < LOG_RECORDS_MAX; count += 1) {
    try {
      const bytes = readSync(log, buffer);
      if (bytes === 0) break;
      const record = buffer.toString("utf8", 0, bytes);
      if (record.includes("tsc: ")) found += record;
      // Nothing better comes after it, and the log may be long.
      if (REFINED_RATE.test(record)) break;
    } catch (failure) {
      // EPIPE: the record was overwritten while we were at it; the next read goes on after it.
      if (!isErrno(failure, "EPIPE")) break;
    }
  }
  return found;
}

function readText(root: string, path: string): string | undefined {
  try {
    return readFileSync(join(root, path), "utf8");
  } catch {
    // Not there on this kernel or machine: there are other sources.
    return undefined;
  }
}
