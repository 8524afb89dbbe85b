/** One command in an open machine. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { randomBytes } from "node:crypto";
import { type CommandStart, feedInput, followCommand } from "../guest/exec.ts";
import { AfterEnd, type StartRequestSchema } from "../guest/generated/pyro/agent/v1/agent_pb.ts";
import { type AgentClient, guestError, type GuestLink } from "../guest/link.ts";
import { outcomeOf } from "./exec-outcome.ts";
import { CALL_DEADLINE_MS, sendSignal, setSize } from "./exec-calls.ts";
import { unixTimeNs } from "./guest-setup.ts";
import type { Exec, ExecOutcome, ExecRequest } from "./machine.ts";

/** From this version of the protocol on one call starts a command, gives its output and end, and settles what is left. */
const ONE_CALL_VERSION = 3;

/** Starts a command; its outcome settles when it has ended and its output was taken. */
export function startExec({ agent, protocolVersion }: GuestLink, request: ExecRequest): Exec {
  const execId = randomBytes(8).toString("hex");
  const run = protocolVersion >= ONE_CALL_VERSION ? inOneCall : inThreeCalls;
  const { started, outcome } = run(agent, execId, request);
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

type Run = Pick<Exec, "started" | "outcome">;

function inOneCall(agent: AgentClient, execId: string, request: ExecRequest): Run {
  let onStarted = (): void => undefined;
  const hasStarted = new Promise<void>((resolve) => (onStarted = resolve));
  const outcome = follow(agent, execId, request, {
    request: startRequest(execId, request),
    afterEnd: request.keep === undefined ? AfterEnd.RELEASE : AfterEnd.KILL,
    deadlineMs: CALL_DEADLINE_MS,
    onStarted,
  });
  // A command that has ended has started, whatever the agent says.
  const started = Promise.race([hasStarted, outcome.then(() => undefined)]);
  return { started, outcome };
}

/** With an agent of an older version. */
function inThreeCalls(agent: AgentClient, execId: string, request: ExecRequest): Run {
  const started = start(agent, execId, request);
  return { started, outcome: started.then(() => follow(agent, execId, request)) };
}

async function start(agent: AgentClient, execId: string, request: ExecRequest): Promise<void> {
  try {
    await agent.start(startRequest(execId, request), { timeoutMs: CALL_DEADLINE_MS });
  } catch (failure) {
    throw guestError(failure, "starting the command");
  }
}

function startRequest(execId: string, request: ExecRequest): MessageInitShape<typeof StartRequestSchema> {
  const encoder = new TextEncoder();
  const { terminal, keep, timeLimitMs } = request;
  return {
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
  };
}

/** Follows a command, which is started first if `first` says so. */
async function follow(
  agent: AgentClient,
  execId: string,
  request: ExecRequest,
  first?: CommandStart,
): Promise<ExecOutcome> {
  const ended = new AbortController();
  const feed = (): void => {
    if (request.stdin === undefined) return;
    // Input that fails because the command has ended is no failure; any other one shows in the command's own end.
    feedInput(agent, execId, request.stdin, ended.signal).catch(() => undefined);
  };
  if (first === undefined) feed();
  const onStarted = (): void => {
    first?.onStarted();
    feed();
  };
  let isSettled = false;
  try {
    const exit = await followCommand(agent, execId, {
      onOutput: request.onOutput,
      ...(first === undefined ? {} : { start: { ...first, onStarted } }),
      ...(request.keep === undefined ? {} : { onDropped: request.onDropped ?? (() => undefined) }),
      ...(request.timeLimitMs === undefined ? {} : { endsWithinMs: request.timeLimitMs }),
    });
    isSettled = first !== undefined;
    return await outcomeOf(exit, request.onOutput);
  } finally {
    ended.abort();
    if (!isSettled) settle(agent, execId, request);
  }
}

/** Ends what is left of a command, and forgets it unless it is kept. */
function settle(agent: AgentClient, execId: string, { keep }: ExecRequest): void {
  const over = keep === undefined ? agent.release : agent.kill;
  // The machine may be gone already; what the agent remembers of a command goes with it.
  over({ execId }, { timeoutMs: CALL_DEADLINE_MS }).catch(() => undefined);
}
