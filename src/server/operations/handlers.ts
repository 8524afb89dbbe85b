/** Every handler of the server, in the shape of the contract's table. */
import type { ServerContext } from "../context.ts";
import type { Handlers } from "../handler.ts";
import { commandHandlers } from "./command.ts";
import { diffHandler } from "./diff.ts";
import { environmentHandlers } from "./env.ts";
import { fileHandlers } from "./file.ts";
import { machineHandlers } from "./machine.ts";
import { patchHandler } from "./patch.ts";
import { runHandler } from "./run.ts";
import { snapshotHandlers } from "./snapshot.ts";
import { workspaceHandlers } from "./workspace.ts";
import { serverHandlers } from "./server.ts";

export function makeHandlers(context: ServerContext): Handlers {
  return {
    run: runHandler(context),
    env: environmentHandlers(context),
    workspace: {
      ...workspaceHandlers(context),
      command: commandHandlers(context),
      diff: diffHandler(context),
      ...fileHandlers(context),
      patch: { apply: patchHandler(context) },
      snapshot: snapshotHandlers(context),
    },
    machine: machineHandlers(context),
    exec: {
      signal: async ({ stream_id, signal }) => ({ delivered: await context.executions.signal(stream_id, signal) }),
      resize: async ({ stream_id, terminal }) => ({ delivered: await context.executions.resize(stream_id, terminal) }),
    },
    server: serverHandlers(context),
  };
}
