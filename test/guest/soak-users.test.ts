/**
 * What must work in a workspace for whoever commands run as: root, unless told otherwise, and user 1000. In `npm run soak` only: npm
 * takes minutes under emulation, and PostgreSQL is a large download. Git is in the table of cases.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { machinePid } from "../support/client-cases.ts";
import { client, until } from "../support/guest-host.ts";
import { soaking } from "../support/random-kills.ts";
import { CaseWorkspace } from "../support/case-workspace.ts";

const LIMIT_SECONDS = 1800;
const ENVIRONMENT = "soak:postgresql";
const DEFINITION = `[environments."${ENVIRONMENT}"]
packages = ["postgresql"]
`;
const BEGIN = "set -e; PATH=$PATH:/usr/lib/postgresql/15/bin; cd /workspace;";
const SERVER = `${BEGIN} exec postgres -D data -k /tmp -c listen_addresses=''`;
/** Recovery included, under emulation. */
const READY_DEADLINE_MS = 120_000;
const QUERY = "psql -h /tmp -d postgres -Atqc";

const config = process.env["PYRO_CONFIG_DIR"] ?? "";
const pyro = client();

/** A script that must succeed and may take its time; its output. */
async function shell(it: CaseWorkspace, command: string, user: { user?: string }): Promise<string> {
  const request = { workspace: it.id, command, timeout_seconds: LIMIT_SECONDS, ...user };
  const { exit_code: code, stdout, stderr } = await pyro.workspace.exec(request);
  assert.equal(code, 0, stdout + stderr);
  return stdout;
}

/** Starts PostgreSQL as a detached command, as a server must be: what another one leaves in the background ends with it. */
async function serve(it: CaseWorkspace, user: { user: string }): Promise<void> {
  const { exec_id: server } = await pyro.workspace.command.start({ workspace: it.id, command: SERVER, ...user });
  const isReady = async (): Promise<boolean> => {
    const { state, stderr } = await pyro.workspace.command.attach({ workspace: it.id, exec_id: server, so_far: true });
    assert.equal(state, "running", stderr);
    return stderr.includes("ready to accept connections");
  };
  await until(isReady, READY_DEADLINE_MS, "PostgreSQL is ready");
}

test("users: PostgreSQL refuses root, works for user 1000, and has its rows after its machine was killed", async (t) => {
  if (!soaking) return t.skip("downloads PostgreSQL: npm run soak -- soak-users");
  mkdirSync(config, { recursive: true });
  writeFileSync(join(config, "environments.toml"), DEFINITION);
  const made = await pyro.workspace.create({ environment: ENVIRONMENT });
  const it = new CaseWorkspace(pyro, made.workspace_id, "");
  const user = { user: "1000" };
  const refused = await pyro.workspace.exec({ workspace: it.id, command: `${BEGIN} initdb -D data` });
  assert.notEqual(refused.exit_code, 0);
  assert.match(refused.stderr, /cannot be run as root/);
  await shell(it, `${BEGIN} initdb -D data --auth=trust > /dev/null`, user);
  await serve(it, user);
  await it.sh(`${QUERY} 'create table numbers as select * from generate_series(1, 100000) as number'`, user);
  assert.equal(await it.sh(`${QUERY} 'select sum(number) from numbers'`, user), "5000050000\n");
  await it.sh(`${QUERY} 'insert into numbers values (1)'`, user);
  // What a transaction has committed was flushed by PostgreSQL itself.
  const { vm_id: vmId } = await pyro.workspace.status({ workspace: it.id });
  process.kill((await machinePid(vmId ?? "")) ?? assert.fail("the machine has no VMM"), "SIGKILL");
  const isStopped = async (): Promise<boolean> =>
    (await pyro.workspace.status({ workspace: it.id })).state === "stopped";
  await until(isStopped, 10_000, "the status says that it ended");
  await pyro.workspace.start({ workspace: it.id });
  await serve(it, user);
  assert.equal(await it.sh(`${QUERY} 'select sum(number) from numbers'`, user), "5000050001\n");
  await pyro.workspace.delete({ workspace: it.id, force: true, purge: true });
});

/** A package with a script of its own, installed from a tarball and run, and what was made of it committed with git. */
const NPM = `set -e
mkdir lib app
cat > lib/package.json <<end
{"name": "lib", "version": "1.0.0", "bin": "cli.js", "scripts": {"postinstall": "id -u > made"}}
end
printf '#!/usr/bin/env node\\nconsole.log("run by", process.getuid())\\n' > lib/cli.js
chmod 755 lib/cli.js
npm pack --silent ./lib > /dev/null
cd app
echo '{"name": "app", "version": "1.0.0"}' > package.json
npm install --offline --silent --no-audit ../lib-1.0.0.tgz
npm ci --offline --silent --no-audit
node_modules/.bin/lib
cat node_modules/lib/made
git init --quiet && echo node_modules > .gitignore
git add . && git -c user.name=a -c user.email=a@example.com commit --quiet --message all
git clone --quiet . ../clone && git -C ../clone status --short && ls -A ../clone`;

/** As agents and servers do that will not run as root. */
const REFUSES_ROOT =
  'test "$(id -u)" -ne 0 || { echo "refuses root" >&2; exit 1; }; id -u; touch mine && ls -l mine | cut -c1-10';

test("users: npm and git work for root, whom commands run as, and for user 1000, who can be what refuses root", async (t) => {
  if (!soaking) return t.skip("npm takes minutes under emulation: npm run soak -- soak-users");
  for (const user of [undefined, "1000"]) {
    const made = await pyro.workspace.create({ environment: "debian:12-agent" });
    const it = new CaseWorkspace(pyro, made.workspace_id, "");
    const as = user === undefined ? {} : { user };
    const id = user ?? "0";
    const said = await shell(it, NPM, as);
    const [run, installer, ...files] = said.trim().split("\n");
    assert.equal(run, `run by ${id}`);
    // npm runs a package's scripts as the owner of what it installs into.
    assert.match(installer ?? "", /^(0|1000)$/);
    assert.deepEqual(files, [".git", ".gitignore", "package-lock.json", "package.json"]);
    const refused = await pyro.workspace.exec({ workspace: it.id, command: REFUSES_ROOT, ...as });
    if (user === undefined) assert.deepEqual([refused.exit_code, refused.stderr], [1, "refuses root\n"]);
    else assert.deepEqual([refused.exit_code, refused.stdout], [0, "1000\n-rw-r--r--\n"]);
    await pyro.workspace.delete({ workspace: it.id, force: true, purge: true });
  }
});
