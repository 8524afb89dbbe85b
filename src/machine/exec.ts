/** One command in an open machine. */
import { randomBytes } from "node:crypto";
import { feedInput, followCommand } from "../guest/exec.ts";
import { type AgentClient, guestError } from "../guest/link.ts";
import { outcomeOf } from "./exec-outcome.ts";
import { CALL_DEADLINE_MS, sendSignal, setSize } from "./exec-calls.ts";
import { unixTimeNs } from "./guest-setup.ts";
import type { Exec, ExecOutcome, ExecRequest } from "./machine.ts";

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
    started,
    outcome,
    signal: async (number) => {
      await started;
      return await sendSignal(agent, execId, number);
    },
    resize: async (size) => {
      await started;
      return request.terminal !== undefined && (await setSize(agent, execId, size));
    },
  };
}

async function start(agent: AgentClient, execId: string, request: ExecRequest): Promise<void> {
  const encoder = new TextEncoder();
  const { terminal, keep, timeLimitMs } = request;
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
        timeLimitMs: timeLimitMs === undefined ? 0n : BigInt(Math.ceil(timeLimitMs)),
        stdin: request.stdin !== undefined,
        unixTimeNs: unixTimeNs(),
        ...(terminal === undefined ? {} : { terminal }),
        ...(keep === undefined ? {} : { keepBytes: keep.bytes, note: keep.note }),
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
      ...(request.keep === undefined ? {} : { onDropped: request.onDropped ?? (() => undefined) }),
      ...(request.timeLimitMs === undefined ? {} : { endsWithinMs: request.timeLimitMs }),
    });
    return await outcomeOf(exit, request.onOutput);
  } finally {
    ended.abort();
    // The machine may be gone already; what the agent remembers of a command goes with it.
    const over = request.keep === undefined ? agent.release : agent.kill;
    over({ execId }, { timeoutMs: CALL_DEADLINE_MS }).catch(() => undefined);
  }
}
