/** A command whose last output and end the guest keeps, whoever started it. */
import { constants } from "node:os";
import { PyroError } from "../contract/error.ts";
import { followCommand } from "../guest/exec.ts";
import type { Command } from "../guest/generated/pyro/agent/v1/agent_pb.ts";
import { type AgentClient, guestError } from "../guest/link.ts";
import { CALL_DEADLINE_MS, sendSignal } from "./exec-calls.ts";
import { outcomeOf } from "./exec-outcome.ts";
import type { ExecOutcome, KeptExec, KeptReader } from "./machine.ts";

export function keptExec(agent: AgentClient, execId: string): KeptExec {
  return {
    id: execId,
    attach: async (reader) => await attach(agent, execId, reader),
    readSoFar: async (reader) => await readSoFar(agent, execId, reader),
    signal: async (number) => {
      const delivered = await sendSignal(agent, execId, number);
      // Also one that has ended: what it left behind goes on.
      if (number === constants.signals.SIGKILL) await agentCall("ending the command", agent.kill, execId);
      return delivered;
    },
    release: async () => await agentCall("forgetting the command", agent.release, execId),
  };
}

async function attach(agent: AgentClient, execId: string, reader: KeptReader): Promise<ExecOutcome> {
  const exit = await followCommand(agent, execId, reader);
  return await outcomeOf(exit, reader.onOutput);
}

async function readSoFar(
  agent: AgentClient,
  execId: string,
  { onOutput, onDropped, signal }: KeptReader,
): Promise<ExecOutcome | undefined> {
  const now = await produced(agent, execId);
  // One that has ended has all of its output, and its end comes after it.
  if (!now.running) return await attach(agent, execId, { onOutput, onDropped, signal });
  const left = { stdout: now.stdoutBytes, stderr: now.stderrBytes };
  const seen = new AbortController();
  const isDone = (): boolean => left.stdout <= 0n && left.stderr <= 0n;
  if (isDone()) return undefined;
  const take = (stream: "stdout" | "stderr", bytes: number): void => {
    left[stream] -= BigInt(bytes);
    if (isDone()) seen.abort();
  };
  try {
    return await attach(agent, execId, {
      signal: AbortSignal.any([signal, seen.signal]),
      onDropped: (stream, bytes) => {
        onDropped(stream, bytes);
        take(stream, bytes);
      },
      onOutput: async (stream, data) => {
        // What came after the question is of another time.
        const wanted = Number(left[stream] < BigInt(data.length) ? left[stream] : data.length);
        if (wanted > 0) await onOutput(stream, data.subarray(0, wanted));
        take(stream, data.length);
      },
    });
  } catch (failure) {
    if (seen.signal.aborted && !signal.aborted) return undefined;
    throw failure;
  }
}

/** What the agent says of the command. @throws PyroError not_found */
async function produced(agent: AgentClient, execId: string): Promise<Command> {
  try {
    const { commands } = await agent.list({}, { timeoutMs: CALL_DEADLINE_MS });
    const found = commands.find((each) => each.execId === execId);
    if (found !== undefined) return found;
  } catch (failure) {
    throw guestError(failure, "asking for the commands");
  }
  throw new PyroError("not_found", `the guest knows no command ${execId}`);
}

async function agentCall(
  what: string,
  call: (request: { execId: string }, options: { timeoutMs: number }) => Promise<unknown>,
  execId: string,
): Promise<void> {
  try {
    await call({ execId }, { timeoutMs: CALL_DEADLINE_MS });
  } catch (failure) {
    throw guestError(failure, what);
  }
}
