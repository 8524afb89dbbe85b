/** What a machine's processes use up: its monitor and the VMM below it. */
import { readdirSync, readFileSync } from "node:fs";

const NS_PER_MS = 1e6;
const BYTES_PER_KB = 1024;
const BYTES_PER_MB = 1e6;

/** Megabytes of their memory, what they share with others divided by those (proc(5): Pss). */
export function pssMb(monitor: number): number {
  return (
    sum(familyOf(monitor).map((pid) => pssKb(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")))) *
    (BYTES_PER_KB / BYTES_PER_MB)
  );
}

/** Milliseconds of CPU that they have used, a guest's own included. */
export function cpuMs(monitor: number): number {
  const threads = familyOf(monitor).flatMap((pid) =>
    readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}`),
  );
  // The first number is nanoseconds on a CPU (Documentation/scheduler/sched-stats.rst).
  return sum(threads.map((thread) => Number.parseInt(readFileSync(`${thread}/schedstat`, "utf8"), 10))) / NS_PER_MS;
}

/** A process and all below it. */
function familyOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .split(" ")
    .filter((word) => word.trim() !== "");
  return [pid, ...children.flatMap((child) => familyOf(Number(child)))];
}

function pssKb(rollup: string): number {
  const found = /^Pss:\s+(\d+) kB$/m.exec(rollup);
  if (found === null) throw new Error("smaps_rollup without Pss");
  return Number(found[1]);
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
