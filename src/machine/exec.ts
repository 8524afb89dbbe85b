/** One command in an open machine. */
import { randomBytes } from "node:crypto";
import { constants } from "node:os";
import { PyroError } from "../contract/error.ts";
import { feedInput, followCommand } from "../guest/exec.ts";
import type { Exit } from "../guest/generated/pyro/agent/v1/agent_pb.ts";
import { type AgentClient, guestError } from "../guest/link.ts";
import { unixTimeNs } from "./guest-setup.ts";
import type { Exec, ExecOutcome, ExecRequest } from "./machine.ts";

/** A call that changes nothing but a table in the agent; generous for a starved vCPU. */
const CALL_DEADLINE_MS = 30_000;
/** Exit code at the time limit, as timeout(1) gives it. */
const TIMED_OUT_CODE = 124;
/** A shell's exit code for a command ended by signal n is 128 + n. */
const SIGNAL_CODE_BASE = 128;
/** Linux: a status has eight bits, and signals end at SIGRTMAX. */
const EXIT_CODE_MAX = 255;
const SIGNAL_MAX = 64;

/** Starts a command; its outcome settles when it has ended and its output was taken. */
export function startExec(agent: AgentClient, request: ExecRequest): Exec {
  const execId = randomBytes(8).toString("hex");
  const started = start(agent, execId, request);
  const outcome = started.then(() => follow(agent, execId, request));
  // Both are also awaited by whoever asks; a failed start must not count as unhandled until then.
  started.catch(() => undefined);
  outcome.catch(() => undefined);
  return {
    id: execId,
    outcome,
    signal: async (number) => {
      await started;
      try {
        return (await agent.signal({ execId, signal: number }, { timeoutMs: CALL_DEADLINE_MS })).delivered;
      } catch (failure) {
        const error = guestError(failure, "sending a signal");
        if (error.code === "not_found") return false;
        throw error;
      }
    },
  };
}

async function start(agent: AgentClient, execId: string, request: ExecRequest): Promise<void> {
  const encoder = new TextEncoder();
  try {
    await agent.start(
      {
        execId,
        argv: request.argv.map((word) => encoder.encode(word)),
        environment: Object.entries(request.env).map(([name, value]) => ({
          name: encoder.encode(name),
          value: encoder.encode(value),
        })),
        workingDirectory: encoder.encode(request.cwd),
        user: request.user,
        timeLimitMs: BigInt(Math.ceil(request.timeLimitMs)),
        stdin: request.stdin !== undefined,
        unixTimeNs: unixTimeNs(),
      },
      { timeoutMs: CALL_DEADLINE_MS },
    );
  } catch (failure) {
    throw guestError(failure, "starting the command");
  }
}

async function follow(agent: AgentClient, execId: string, request: ExecRequest): Promise<ExecOutcome> {
  const ended = new AbortController();
  const input = request.stdin === undefined ? undefined : feedInput(agent, execId, request.stdin, ended.signal);
  // Input that fails because the command has ended is no failure; any other one shows in the command's own end.
  input?.catch(() => undefined);
  try {
    const exit = await followCommand(agent, execId, {
      onOutput: request.onOutput,
      endsWithinMs: request.timeLimitMs,
    });
    return await outcomeOf(exit, request.onOutput);
  } finally {
    ended.abort();
    // The machine may be gone already; what the agent remembers of a command goes with it.
    agent.release({ execId }, { timeoutMs: CALL_DEADLINE_MS }).catch(() => undefined);
  }
}

/** How a command ended, from the agent's word on it. @throws PyroError guest_failed when that cannot be */
export async function outcomeOf(exit: Exit, onOutput: ExecRequest["onOutput"]): Promise<ExecOutcome> {
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
