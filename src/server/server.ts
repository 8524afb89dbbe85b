/** The server as a whole: parts, start and end. */
import { once } from "node:events";
import type { HostPaths } from "../host/paths.ts";
import { claimPrivateDirectory } from "../host/private-directory.ts";
import type { Workspaces } from "../workspace/workspaces.ts";
import type { Machines } from "../machine/machine.ts";
import { ByteStreams } from "./byte-streams.ts";
import type { Environments, ServerContext } from "./context.ts";
import { Executions } from "./executions.ts";
import { createHttpServer } from "./http.ts";
import { Lifecycle } from "./lifecycle.ts";
import { log } from "./log.ts";
import { makeHandlers } from "./operations/handlers.ts";
import { makeRouter } from "./router.ts";
import { listenOnSocket, removeSocket } from "./socket.ts";

export interface ServerOptions {
  readonly paths: HostPaths;
  readonly machines: Machines;
  readonly workspaces: Workspaces;
  readonly environments: Environments;
  /** How long the server stays with nothing to do. */
  readonly idleMs: number;
  /** Digest of the settings it was started with: clients with others are refused. */
  readonly settings: string;
}

export interface RunningServer {
  /** Ends the server as a signal would; settles when all is closed. */
  stop(): Promise<void>;
  /** Settles when the server has ended, for whatever reason. */
  readonly ended: Promise<void>;
}

/** Starts the server on its socket. The caller holds the server lock of `paths`. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { paths, machines, workspaces, environments, idleMs, settings } = options;
  claimPrivateDirectory(paths.runtime, "PYRO_RUNTIME_DIR");
  claimPrivateDirectory(paths.state, "PYRO_STATE_DIR");
  const lifecycle = new Lifecycle(machines, idleMs);
  const streams = new ByteStreams();
  const context: ServerContext = {
    paths,
    machines,
    workspaces,
    environments,
    streams,
    executions: new Executions(),
    lifecycle,
    openMachines: new Map(),
  };
  const http = createHttpServer({ router: makeRouter(makeHandlers(context)), streams, lifecycle, settings });
  await listenOnSocket(http, paths);
  lifecycle.serve();
  log("ready", { pid: process.pid });
  const ended = lifecycle.stopRequested.then(async ({ reason, keepWorkspaces }) => {
    log("stop", { reason, keepWorkspaces });
    // First the name, so that new clients do not come here; the lock keeps their server waiting until we are gone.
    removeSocket(paths);
    await lifecycle.endCalls();
    // First: their guests write what they have in memory, or go on.
    await (keepWorkspaces ? workspaces.handOver() : workspaces.close());
    await machines.close();
    http.close();
    http.closeAllConnections();
    await once(http, "close");
    log("ended");
  });
  const stop = async (): Promise<void> => {
    lifecycle.requestStop("stop");
    await ended;
  };
  return { stop, ended };
}
