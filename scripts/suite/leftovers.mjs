/** Finds the processes that a run of the suite started and left behind. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { DIST } from "../project.mjs";

/** How long the last processes of a stage have to end by themselves: a server that was told to stop, a killed VMM. */
const GRACE_MS = 5000;
const POLL_MS = 100;
/** In what of a process the run's own directory is looked for. Another user's process shows only its command line. */
const TRACES = ["cmdline", "environ"];
const LINKS = ["cwd", "exe"];

/** The processes, after a grace, that belong to the sandbox at `root`: `{ pid, command }` each. */
export async function leftovers(root, graceMs = GRACE_MS) {
  const deadline = Date.now() + graceMs;
  let found = belongingTo(root);
  while (found.length > 0 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    found = belongingTo(root);
  }
  return found;
}

/** Ends what was left behind, by its id, so that it does not disturb the next stage. */
export function end(processes) {
  for (const { pid } of processes) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (failure) {
      // It ended by itself in the meantime.
      if (/** @type {NodeJS.ErrnoException} */ (failure).code !== "ESRCH") throw failure;
    }
  }
}

function belongingTo(root) {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => mentions(pid, root))
    .map((pid) => ({ pid: Number(pid), command: commandOf(pid) }));
}

/** Whether a process was started for the sandbox: its directory, or a socket or log in it, is what it works with. */
function mentions(pid, root) {
  const texts = [...TRACES.map((name) => read(pid, name)), ...LINKS.map((name) => link(pid, name)), ...openFiles(pid)];
  return texts.some((text) => text.includes(root));
}

function openFiles(pid) {
  return orNothing(() => readdirSync(`/proc/${pid}/fd`), []).map((fd) => link(pid, `fd/${fd}`));
}

const read = (pid, name) => orNothing(() => readFileSync(`/proc/${pid}/${name}`, "utf8"), "");
const link = (pid, name) => orNothing(() => readlinkSync(`/proc/${pid}/${name}`), "");
const commandOf = (pid) => read(pid, "cmdline").replaceAll("\0", " ").replaceAll(DIST, "dist").trim().slice(0, 200);

/** A process may end while it is looked at, or belong to somebody else: then it shows nothing. */
function orNothing(look, nothing) {
  try {
    return look();
  } catch {
    return nothing;
  }
}
