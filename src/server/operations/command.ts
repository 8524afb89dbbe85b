/** Detached commands: started, listed, read and ended by calls of their own. */
import { type CommandSummary, SIGNAL_NUMBERS } from "../../contract/command-operations.ts";
import { PyroError } from "../../contract/error.ts";
import type { KeptReader } from "../../machine/machine.ts";
import type { DetachedCommand } from "../../workspace/detached.ts";
import { Capture } from "../capture.ts";
import { displayed, GIT_TRUST } from "../command-line.ts";
import type { ServerContext } from "../context.ts";
import { claimStreams, guestCommand, unlessAborted } from "../execution.ts";
import type { Handlers } from "../handler.ts";

export function commandHandlers(context: ServerContext): Handlers["workspace"]["command"] {
  const { workspaces } = context;
  return {
    start: async ({ workspace, ...input }, { signal }) => {
      const found = workspaces.find(workspace);
      const { timeout_seconds: seconds } = input;
      const request = {
        ...guestCommand({ ...input, env: [...GIT_TRUST, ...input.env] }),
        timeLimitMs: seconds === undefined ? undefined : Math.ceil(seconds * 1000),
      };
      const started = await found.commands.detach(displayed(input.command), request, signal);
      return { workspace_id: found.record.id, ...summaryOf(started) };
    },
    list: async ({ workspace }) => {
      const found = workspaces.find(workspace);
      const commands = (await found.commands.detached()).list().map(summaryOf);
      return { workspace_id: found.record.id, count: commands.length, commands };
    },
    attach: attachHandler(context),
    kill: async ({ workspace, exec_id: execId, signal }) => {
      const found = workspaces.find(workspace);
      const delivered = await (await found.commands.detached()).find(execId).kept.signal(SIGNAL_NUMBERS[signal]);
      return { workspace_id: found.record.id, exec_id: execId, delivered };
    },
  };
}

function attachHandler(context: ServerContext): Handlers["workspace"]["command"]["attach"] {
  return async ({ workspace, exec_id: execId, so_far: soFar, ...input }, { signal, emit }) => {
    const found = context.workspaces.find(workspace);
    const { kept, view } = (await found.commands.detached()).find(execId);
    const streams = await claimStreams(context, input);
    try {
      const capture = new Capture();
      const reader: KeptReader = {
        signal,
        onOutput:
          input.output === "stream" && streams !== undefined
            ? streams.write
            : (stream, data) => capture.add(stream, data),
        onDropped: (stream, bytes) => {
          capture.drop(stream, bytes);
          emit({ type: "dropped", stream, bytes });
        },
      };
      const outcome = await unlessAborted(soFar ? kept.readSoFar(reader) : kept.attach(reader), signal);
      // Its end may have been read here first.
      const summary = summaryOf({ ...view(), outcome });
      return { workspace_id: found.record.id, ...summary, ...capture.fields() };
    } catch (failure) {
      throw readFailure(failure, execId);
    } finally {
      streams?.finish();
    }
  };
}

/** One that ended long ago may be forgotten while it is read. */
function readFailure(failure: unknown, execId: string): PyroError {
  const error = PyroError.from(failure);
  if (error.code !== "not_found") return error;
  return new PyroError("not_found", `the detached command ${execId} was forgotten: others ended after it`, {
    cause: error,
    remedy: "pyro workspace logs",
  });
}

function summaryOf({ execId, sequence, command, cwd, startedAt, outcome }: DetachedCommand): CommandSummary {
  return {
    exec_id: execId,
    sequence,
    command,
    cwd,
    state: outcome === undefined ? "running" : "exited",
    exit_code: outcome?.exitCode ?? null,
    signal: outcome?.signal ?? null,
    timed_out: outcome?.timedOut ?? false,
    out_of_memory: outcome?.outOfMemory ?? false,
    started_at: startedAt,
    duration_ms: outcome?.durationMs ?? null,
  };
}
