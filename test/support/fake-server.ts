/** A server's process as the real one is, with fake machines. What its machines do goes to `fake-history` in its state. */
import { appendFileSync, closeSync, writeSync } from "node:fs";
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { READY_FD } from "../../src/contract/wire.ts";
import { hostPaths } from "../../src/host/paths.ts";
import { settingsDigest, settingsOf } from "../../src/host/settings.ts";
import { Workspaces } from "../../src/workspace/workspaces.ts";
import { startServer } from "../../src/server/server.ts";
import { idleMs } from "../../src/server/idle-time.ts";
import { fakeEnvironments } from "./fake-environments.ts";
import { FakeMachines } from "./fake-machines.ts";

const paths = hostPaths();
const onHistory = (line: string): void => appendFileSync(join(paths.state, "fake-history"), `${line}\n`);
const machines = new FakeMachines({ onHistory, ready: 1 });
const create = async (path: string): Promise<void> => await writeFile(path, "");
// Nothing is read for those that begin empty.
const seeder = async (): Promise<string> => await Promise.resolve("/nowhere/pyro-seed");
const workspaces = await Workspaces.open({
  paths,
  machines,
  volumes: { create, copy: copyFile },
  seeder,
  onNotice: onHistory,
});
const server = await startServer({
  paths,
  machines,
  workspaces,
  environments: fakeEnvironments(),
  idleMs: idleMs(process.env),
  settings: settingsDigest(settingsOf(process.env, paths)),
});
onHistory(`server ${process.pid}`);
process.on("SIGTERM", () => void server.stop());
writeSync(READY_FD, `${JSON.stringify({ ready: true })}\n`);
closeSync(READY_FD);
await server.ended;
process.exit(0);
