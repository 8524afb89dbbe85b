/** The built pyro in processes of a user who is not root, with directories of that user's own; only root can start them. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { CLI, paths } from "./guest-host.ts";

/** No user of this host's. */
export const PLAIN_USER = 64_123;
/** Ids in a user namespace of the test's: that user's is one of them. */
const IDS = 65_536;
const ENVIRONMENT = "debian:12";

export interface PlainUser {
  readonly cache: string;
  readonly runtime: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Makes the user's directories below `home`, with a copy of the environment in them. */
export function makePlainUser(home: string): PlainUser {
  const [cache, state, runtime] = ["cache", "state", "run"].map((name) => join(home, name)) as [string, string, string];
  const environments = join("environments", "linux-x86_64");
  mkdirSync(join(cache, environments), { recursive: true, mode: 0o700 });
  // As it is: an altered time would have the image checked anew.
  execFileSync("cp", ["-a", join(paths.cache, environments, "debian_12-1.0.0"), join(cache, environments)]);
  execFileSync("cp", ["-a", join(paths.cache, "kernels"), cache]);
  execFileSync("chown", ["-R", `${PLAIN_USER}:${PLAIN_USER}`, home]);
  const directories = { PYRO_CACHE_DIR: cache, PYRO_STATE_DIR: state, PYRO_RUNTIME_DIR: runtime };
  return { cache, runtime, env: { PATH: process.env["PATH"], HOME: home, ...directories } };
}

/** Starts Node as that user; with `forbidden`, where nobody may make user namespaces. */
async function startNode(user: PlainUser, args: readonly string[], forbidden: boolean): Promise<ChildProcess> {
  const become = ["setpriv", `--reuid=${PLAIN_USER}`, `--regid=${PLAIN_USER}`, "--clear-groups"];
  const words = [...become, process.execPath, ...args];
  const stdio = ["pipe", "pipe", "inherit"] as const;
  const options = { env: user.env, cwd: "/", stdio: [...stdio] };
  if (!forbidden) return spawn(words[0] ?? "", words.slice(1), options);
  // The limit is each user namespace's own: this one's is nobody else's.
  const limit = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"';
  // Root there has its rights only from the first program on that begins after the ids are mapped.
  const script = `echo made; read -r go; exec sh -c '${limit}' sh "$@"`;
  const child = spawn("unshare", ["--user", "sh", "-c", script, "sh", ...words], options);
  assert.deepEqual(await firstLine(child), "made");
  for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${child.pid}/${map}`, `0 0 ${IDS}`);
  child.stdin?.write("go\n");
  return child;
}

async function firstLine(child: ChildProcess): Promise<string> {
  const lines = createInterface(child.stdout ?? assert.fail("no standard output"));
  const ended = once(child, "exit").then(([code]) => assert.fail(`the plain user's process ended with ${code}`));
  // The loser of the race.
  ended.catch(() => undefined);
  const [line] = (await Promise.race([once(lines, "line"), ended])) as [string];
  lines.close();
  return line;
}

export interface PlainMachine {
  readonly id: string;
  readonly confinement: string;
  readonly stop: () => Promise<void>;
}

/** Opens a machine by the SDK; it lives until `stop`. */
export async function openAsPlainUser(user: PlainUser, forbidden = false): Promise<PlainMachine> {
  const script = `
    const { Pyro } = await import(${JSON.stringify(join(process.cwd(), "dist", "index.js"))});
    const pyro = new Pyro();
    const machine = await pyro.machine({ environment: ${JSON.stringify(ENVIRONMENT)} });
    console.log(machine.id, machine.confinement);
    await new Promise((resolve) => process.stdin.once("end", resolve).resume());
    await machine.close();
    await pyro.server.stop({ force: true });
    pyro.close();`;
  const child = await startNode(user, ["--input-type=module", "--eval", script], forbidden);
  const [id = "", confinement = ""] = (await firstLine(child)).split(" ");
  return {
    id,
    confinement,
    stop: async () => {
      child.stdin?.end();
      if (child.exitCode === null) await once(child, "exit");
    },
  };
}

/** What the CLI prints. */
export async function cliAsPlainUser(user: PlainUser, args: readonly string[], forbidden = false): Promise<string> {
  const child = await startNode(user, [CLI, ...args], forbidden);
  let said = "";
  child.stdout?.resume().on("data", (data: Buffer) => (said += data.toString()));
  child.stdin?.end();
  await once(child, "close");
  return said;
}
