/** Two builds of one version on one host: neither talks to the other's server. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Collector } from "../support/guest-cases.ts";
import { client } from "../support/guest-host.ts";

const OTHER_BUILD = "0123456789ab";

const pyro = client();
const folder = mkdtempSync(join(tmpdir(), "pyro-build-"));
let build = "";

/** A copy of dist/ that says that it is another build. */
before(async () => {
  await pyro.env.list();
  const { version } = await pyro.server.status();
  build = /^[0-9.]+\+([0-9a-f]{12})$/.exec(version ?? "")?.[1] ?? assert.fail(`the server's version is ${version}`);
  cpSync("dist", join(folder, "dist"), { recursive: true });
  cpSync("package.json", join(folder, "package.json"));
  const files = readdirSync(join(folder, "dist"), { recursive: true, encoding: "utf8" });
  for (const path of files.map((name) => join(folder, "dist", name))) {
    if (!/\.c?js$/.test(path) || !statSync(path).isFile()) continue;
    writeFileSync(path, readFileSync(path, "utf8").replaceAll(build, OTHER_BUILD));
  }
});
after(() => rmSync(folder, { recursive: true }));

const other = (...words: string[]): string =>
  execFileSync(process.execPath, [join(folder, "dist", "bin.cjs"), ...words], { encoding: "utf8" });

test("builds: a server in use by another build stays, and the error says what to do", async () => {
  await using machine = await pyro.machine({ environment: "debian:12" });
  assert.throws(
    () => other("env", "list", "--json"),
    ({ status, stdout }: { status: number; stdout: string }) => {
      const { error } = JSON.parse(stdout) as { error: { code: string; message: string; remedy: string } };
      assert.deepEqual([status, error.code, error.remedy], [125, "protocol_mismatch", "pyro server stop --force"]);
      assert.ok(error.message.includes(build) && error.message.includes(OTHER_BUILD), error.message);
      return true;
    },
  );
  assert.equal((await machine.exec(["true"])).exit_code, 0);
});

test("builds: an idle server of another build is replaced, and the other way round", async () => {
  assert.equal(other("run", "debian:12", "--quiet", "--", "echo", "other"), "other\n");
  assert.match((await pyro.server.status()).version ?? "", new RegExp(OTHER_BUILD));
  assert.equal((await pyro.run({ environment: "debian:12", command: ["echo", "ours"] })).stdout, "ours\n");
  assert.match((await pyro.server.status()).version ?? "", new RegExp(build));
});

test("builds: a server that has only workspaces is replaced, and their machines go on", async () => {
  const { workspace_id: id, vm_id: vmId } = await pyro.workspace.create({ environment: "debian:12" });
  try {
    await pyro.workspace.exec({ workspace: id, command: "echo ours > file" });
    assert.equal(other("workspace", "exec", id, "--", "cat", "file"), "ours\n");
    assert.match((await pyro.server.status()).version ?? "", new RegExp(OTHER_BUILD));
    const found = await pyro.workspace.status({ workspace: id });
    assert.deepEqual([found.state, found.vm_id, found.stopped], ["started", vmId, null]);
    const stdout = new Collector();
    const running = pyro.workspace.exec({ workspace: id, command: "echo begun; sleep 300" }, { stdout });
    await stdout.seen("begun");
    assert.throws(() => other("workspace", "status", id), { status: 125 });
    await pyro.workspace.stop({ workspace: id });
    await running;
  } finally {
    await pyro.workspace.delete({ workspace: id, force: true, purge: true });
  }
});

test("builds: --version says the version alone", () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  assert.equal(other("--version"), `pyro ${version}\n`);
});
