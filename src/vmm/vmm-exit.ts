import { type Evidence, PyroError } from "../contract/error.ts";
import { withDeadline } from "../host/deadline.ts";
import type { RunningMachine, VmmExit } from "./driver.ts";

/** Characters of the guest's console that are shown in an error. */
const CONSOLE_EVIDENCE_CHARS = 4096;
/** Between a VMM's sockets closing and its process being reaped lie milliseconds; more is not waited for. */
const EXIT_AFTER_LOSS_MS = 1000;

/** How the launcher ends when the volume's lock is another's (EX_TEMPFAIL of sysexits.h); no VMM ends so. */
const LOCK_BUSY_STATUS = 75;

/** What mends a want of memory on the host. */
export const MEMORY_REMEDY = "end other machines, free memory on this host, or ask for less with --mem-mib";

/** The error for a VMM that ended when it should not have, with its last words and the guest's. */
export function vmmEnded(exit: VmmExit): PyroError {
  if (exit.code === LOCK_BUSY_STATUS) return volumeInUse(exit);
  const unseen = "while no server saw how";
  const how = exit.signal === null ? (exit.code === null ? unseen : `with status ${exit.code}`) : `by ${exit.signal}`;
  const isFull = exit.outOfMemory === true;
  return new PyroError(isFull ? "resource_exhausted" : "vmm_failed", `the VMM ended ${how}`, {
    ...(exit.vmmLog === "" ? {} : { cause: exit.vmmLog.split("\n").at(-1) }),
    remedy: isFull
      ? MEMORY_REMEDY
      : "run `pyro doctor`; if the host was short of memory, give the machine less with --mem-mib",
    evidence: { exit: exit.code ?? exit.signal ?? "unknown", ...lastWords(exit) },
  });
}

function volumeInUse(exit: VmmExit): PyroError {
  return new PyroError("invalid_state", "another machine has this volume, and runs", {
    cause: exit.vmmLog.split("\n").at(-1),
    remedy: "one that no server knows of any more ends by itself when it has been idle for its time to live",
    evidence: lastWords(exit),
  });
}

/** What the VMM and the guest's console said last. */
export function lastWords({ vmmLog, consoleTail }: VmmExit): Evidence {
  return {
    ...(vmmLog === "" ? {} : { vmm_log: vmmLog }),
    ...(consoleTail === "" ? {} : { console: consoleTail.slice(-CONSOLE_EVIDENCE_CHARS) }),
  };
}

/** Evidence of a failure that may be a VMM's end, seen before the process was reaped. */
export const CONNECTION_LOST = { connection: "lost" } as const;

/** Why a VMM did not do what it was asked: its own end, if that is behind `failure`. */
export async function explainRefusal(exited: Promise<VmmExit>, failure: unknown): Promise<PyroError> {
  const error = PyroError.from(failure);
  if (error.evidence["connection"] !== CONNECTION_LOST.connection) return error;
  const exit = await withDeadline(exited, EXIT_AFTER_LOSS_MS, () => error).catch(() => undefined);
  return exit === undefined ? error : vmmEnded(exit);
}

/** Why the link to a guest failed: its VMM's end, if that is it, otherwise `failure` with the console's last lines. */
export async function explainLoss(
  vmm: Pick<RunningMachine, "exited" | "consoleTail">,
  failure: unknown,
): Promise<PyroError> {
  const error = PyroError.from(failure);
  // A link that ends in the middle of a message looks like an agent that talks nonsense.
  if (error.code !== "guest_unreachable" && error.code !== "guest_failed") return error;
  const exit = await withDeadline(vmm.exited, EXIT_AFTER_LOSS_MS, () => error).catch(() => undefined);
  if (exit !== undefined) return vmmEnded(exit);
  return new PyroError(error.code, error.message, {
    cause: error.cause,
    ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
    evidence: { ...error.evidence, console: vmm.consoleTail().slice(-CONSOLE_EVIDENCE_CHARS) },
  });
}
