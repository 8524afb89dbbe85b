import { PyroError } from "../../contract/error.ts";
import { BUILD_VERSION } from "../../contract/version.ts";
import { serverLogPath, serverSocketPath } from "../../host/paths.ts";
import type { ServerContext } from "../context.ts";
import type { Handlers } from "../handler.ts";

export function serverHandlers({ paths, machines, workspaces, lifecycle }: ServerContext): Handlers["server"] {
  return {
    status: async () => {
      const { held, ready } = machines.counts();
      return {
        running: true,
        version: BUILD_VERSION,
        pid: process.pid,
        started_at: lifecycle.startedAt.toISOString(),
        socket: serverSocketPath(paths),
        log: serverLogPath(paths),
        machines: held,
        ready_machines: ready,
      };
    },
    stop: async ({ force, keep_workspaces: keep }, call) => {
      // Those of a server before are counted too.
      if (!force) await workspaces.adopted();
      const kept = keep ? workspaces.list().filter(({ machine }) => machine !== undefined).length : 0;
      const held = machines.counts().held - kept;
      // This call is one of them.
      const otherCalls = lifecycle.activeCalls - 1;
      if (!force && (held > 0 || otherCalls > 0)) {
        throw new PyroError("invalid_state", `the server is busy: machines=${held} calls=${otherCalls}`, {
          evidence: { machines: held, calls: otherCalls },
          remedy:
            "wait for them, or run `pyro server stop --force`, which ends them; `--keep-workspaces` leaves workspaces running",
        });
      }
      void call.ended.then(() => lifecycle.requestStop("asked to", { keepWorkspaces: keep }));
      return { stopped: true, pid: process.pid };
    },
  };
}
