import { readFileSync } from "node:fs";
import { isErrno } from "./files.ts";

/**
 * A process, named so that a reused pid is never taken for it: by pid, start time and boot of the host.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot: field 22 of /proc/PID/stat (proc(5)). */
  readonly startTicks: number;
  /** /proc/sys/kernel/random/boot_id of the host at that time. */
  readonly bootId: string;
}

/** The identity of a running process, or undefined when there is none or it is a zombie. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const startTicks = readStartTicks(pid);
  return startTicks === undefined ? undefined : { pid, startTicks, bootId: hostBootId() };
}

/** Whether exactly this process still runs. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identity.bootId === hostBootId() && readStartTicks(identity.pid) === identity.startTicks;
}

/** Sends a signal to exactly this process; false when it is gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (failure) {
    if (isErrno(failure, "ESRCH")) return false;
    throw failure;
  }
}

let bootId: string | undefined;

/** Names the host's boot: read once, for no process lives through another one. */
export function hostBootId(): string {
  bootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return bootId;
}

function readStartTicks(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name in field 2 may hold blanks and parentheses: count from the last ")".
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : Number(fields[19]);
  } catch (failure) {
    if (isErrno(failure, "ENOENT") || isErrno(failure, "ESRCH")) return undefined;
    throw failure;
  }
}
