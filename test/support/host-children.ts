/** Processes of the host by who started them. */
import { readdirSync, readFileSync } from "node:fs";

/** Pids of the children of `parent` that run a program of this name (proc_pid_stat(5)). */
export function childrenOf(parent: number, name: string): number[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const end = stat.lastIndexOf(")");
        return stat.slice(stat.indexOf("(") + 1, end) === name && Number(stat.slice(end + 2).split(" ")[1]) === parent;
      } catch {
        // It ended while it was looked at.
        return false;
      }
    })
    .map(Number);
}
