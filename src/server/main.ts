/**
 * The server's process: started by a client through the launcher, which holds the lock, has left the client's session
 * and opened the log. It says on READY_FD, in one line, that it serves or why it cannot.
 */
import { closeSync, writeSync } from "node:fs";
import { PyroError } from "../contract/error.ts";
import { BUILD_VERSION } from "../contract/version.ts";
import { READY_FD } from "../contract/wire.ts";
import { verifyPackageFile } from "../host/package-files.ts";
import { hostPaths } from "../host/paths.ts";
import { settingsDigest, settingsOf } from "../host/settings.ts";
import { hostMachineSources } from "../machine/host-sources.ts";
import { createMachines } from "../machine/machines.ts";
import { hostEnvironments } from "./host-environments.ts";
import { log, startLog } from "./log.ts";
import { idleMs } from "./idle-time.ts";
import { VolumeFiles } from "../workspace/volume-file.ts";
import { claimedMachines, Workspaces } from "../workspace/workspaces.ts";
import { type RunningServer, startServer } from "./server.ts";

/** `onWarm`: everything that a run needs has run, and the server has a moment. */
async function serve(onWarm: () => void): Promise<RunningServer> {
  const env = process.env;
  const paths = hostPaths(env);
  startLog(paths);
  log("start", { pid: process.pid, version: BUILD_VERSION });
  const onNotice = (notice: string): void => log("notice", { notice });
  const machines = await createMachines(hostMachineSources({ paths, env, onNotice }), await claimedMachines(paths));
  machines.onChange(() => {
    if (machines.counts().ready > 0) onWarm();
  });
  const volumes = new VolumeFiles(paths);
  const seeder = async (): Promise<string> => (await verifyPackageFile("seeder", env)).path;
  const workspaces = await Workspaces.open({ paths, machines, volumes, seeder, onNotice });
  const settings = settingsDigest(settingsOf(env, paths));
  return await startServer({
    paths,
    machines,
    workspaces,
    environments: hostEnvironments(paths),
    idleMs: idleMs(env),
    settings,
  });
}

function sayReady(word: object): void {
  try {
    writeSync(READY_FD, `${JSON.stringify(word)}\n`);
    closeSync(READY_FD);
  } catch {
    // Our starter is gone; others may be waiting for the socket.
  }
}

/** Serves until it is told to end, and ends the process. `onWarm` is called, more than once, when its code has been used. */
export async function runServer(onWarm: () => void): Promise<never> {
  // A client's terminal that closes is no reason to end: machines of other clients live here.
  process.on("SIGHUP", () => undefined);
  process.on("uncaughtException", (failure) => {
    log("crash", { failure: failure.stack ?? failure.message });
    process.exit(1);
  });
  try {
    const server = await serve(onWarm);
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      // The process ends when the server has.
      process.on(signal, () => void server.stop());
    }
    sayReady({ ready: true });
    await server.ended;
    process.exit(0);
  } catch (failure) {
    const error = PyroError.from(failure);
    log("failed", { code: error.code, failure: error.message });
    sayReady({ error: error.toJSON() });
    process.exit(1);
  }
}
