/** How a command ended, out of the agent's words, which are checked. */
import { constants } from "node:os";
import { PyroError } from "../contract/error.ts";
import type { Exit } from "../guest/generated/pyro/agent/v1/agent_pb.ts";
import type { ExecOutcome, OutputTaker } from "./machine.ts";

/** Exit code at the time limit, as timeout(1) gives it. */
const TIMED_OUT_CODE = 124;
/** A shell's exit code for a command ended by signal n is 128 + n. */
const SIGNAL_CODE_BASE = 128;
/** Linux: a status has eight bits, and signals end at SIGRTMAX. */
const EXIT_CODE_MAX = 255;
const SIGNAL_MAX = 64;

/** The end of a command; why one could not be started goes to its standard error, as a shell does it. */
export async function outcomeOf(exit: Exit, onOutput: OutputTaker): Promise<ExecOutcome> {
  const base = { signal: null, timedOut: false, outOfMemory: exit.outOfMemory, durationMs: Number(exit.durationMs) };
  const { outcome } = exit;
  switch (outcome.case) {
    case "code":
      return { ...base, exitCode: inRange(outcome.value, 0, EXIT_CODE_MAX) };
    case "signal": {
      const signal = inRange(outcome.value, 1, SIGNAL_MAX);
      return { ...base, exitCode: SIGNAL_CODE_BASE + signal, signal };
    }
    case "timedOut":
      return { ...base, exitCode: TIMED_OUT_CODE, signal: constants.signals.SIGKILL, timedOut: true };
    case "startFailure":
      // As a shell does: the reason on stderr, and its code.
      await onOutput("stderr", new TextEncoder().encode(`pyro: ${outcome.value.message}\n`));
      return { ...base, exitCode: inRange(outcome.value.shellCode, 1, EXIT_CODE_MAX) };
    case undefined:
    default:
      throw new PyroError("guest_failed", "the guest agent sent an end without an outcome");
  }
}

/** A number of the agent's that can be what it is said to be. */
function inRange(value: number, from: number, to: number): number {
  if (value >= from && value <= to) return value;
  throw new PyroError("guest_failed", `the guest agent sent an end with ${value}, expected ${from} to ${to}`);
}
