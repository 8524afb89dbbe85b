/** What Rust tests that cargo ignores need of a host: by the words of their reason, found out by doing it. */
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capture, findProgram } from "../command.mjs";

/** What the agent makes at the top of the hierarchy (agent/src/exec/group/control_group.rs); in a guest it stays. */
const MADE = "commands";

const isRoot = () => process.getuid?.() === 0;

const NEEDS = new Map([
  ["needs root", isRoot],
  ["needs root and cgroup v2", () => isRoot() && inControlGroups("mkdir pyro-probe && rmdir pyro-probe")],
]);

/** Whether this host has what a test is ignored for; not, when that is not known. */
export const isHere = (reason) => NEEDS.get(reason)?.() ?? false;

/** Takes away what such tests leave: their commands' groups, unless something still runs in one. */
export function clearAway() {
  if (isRoot()) inControlGroups(`test ! -d ${MADE} || { rmdir ${MADE}/test-*; rmdir ${MADE}; }`);
}

/** Runs a script at the top of cgroup v2, wherever this host has it, if it has it; whether it succeeded. */
function inControlGroups(script) {
  const unshare = findProgram("unshare");
  if (unshare === undefined) return false;
  const directory = mkdtempSync(join(tmpdir(), "pyro-cgroup-"));
  const mounted = `mount -t cgroup2 cgroup2 "$1" && cd "$1" && { ${script}; }`;
  try {
    return capture(unshare, ["--mount", "--", "sh", "-c", mounted, "sh", directory]) !== undefined;
  } finally {
    rmdirSync(directory);
  }
}
