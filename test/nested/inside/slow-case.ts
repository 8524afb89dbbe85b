/** A case that takes unusually long says what the VMMs do meanwhile: whether they wait or run tells a hang from a slow machine. */
import { readdirSync, readFileSync } from "node:fs";

const SLOW_MS = 30_000;
/** Of a case. Most take seconds, the longest takes one minute; a host whose other tenants are busy was ten times slower for minutes. */
export const CASE_LIMIT = { timeout: 300_000 };

/** Runs a case; what it prints is shown when one of its file fails. */
export async function observed(run: () => Promise<void>): Promise<void> {
  const timer = setInterval(
    () =>
      process.stdout.write(
        vmmThreads()
          .map((line) => `[slow] ${line}\n`)
          .join(""),
      ),
    SLOW_MS,
  );
  try {
    await run();
  } finally {
    clearInterval(timer);
  }
}

/** Name, state, CPU time in ticks (proc(5), stat: state, utime, stime) and where in the kernel it waits. */
function vmmThreads(): string[] {
  const pids = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name));
  return pids.flatMap((pid) => {
    try {
      if (!/^(firecracker|qemu)/.test(readFileSync(`/proc/${pid}/comm`, "utf8"))) return [];
      return readdirSync(`/proc/${pid}/task`).map((thread) => ofThread(`/proc/${pid}/task/${thread}`));
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

function ofThread(directory: string): string {
  const stat = readFileSync(`${directory}/stat`, "utf8");
  // The name, in parentheses, may have anything in it.
  const [name, fields] = [stat.slice(0, stat.lastIndexOf(")") + 1), stat.slice(stat.lastIndexOf(")") + 2).split(" ")];
  return [name, fields[0], fields[11], fields[12], readFileSync(`${directory}/wchan`, "utf8")].join(" ");
}
