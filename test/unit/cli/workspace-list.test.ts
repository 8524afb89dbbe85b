import assert from "node:assert/strict";
import { test } from "node:test";
import { operations } from "../../../src/contract/operations.ts";
import { FakeHost } from "../../support/fake-host.ts";

async function created(host: FakeHost, ...flags: string[]): Promise<string> {
  const { stdout, stderr } = await host.cli(["workspace", "create", "debian:12", "--id-only", ...flags]);
  assert.match(stdout, /^[0-9a-f]{12}\n$/, stderr);
  return stdout.trim();
}

test("workspace: list, update, stop, start, delete and restore, by name", async () => {
  await using host = new FakeHost();
  await host.serve();
  const id = await created(host, "--name", "api", "--label", "team=web", "--label", "a=b=c");
  const other = await created(host);
  const listed = await host.cli(["workspace", "list"]);
  assert.deepEqual(
    listed.stdout.split("\n").map((line) => line.split(" ").slice(0, 2).join(" ")),
    [`${other} [started]`, `${id} [started]`, ""],
  );
  assert.match((await host.cli(["ws", "list", "--label", "team=web"])).stdout, new RegExp(`^${id} .*name=api`));
  const updated = await host.cli([
    "ws",
    "update",
    "api",
    "--name",
    "web",
    "--remove-label",
    "a",
    "--ttl-seconds",
    "60",
  ]);
  assert.match(updated.stdout, /^Name: web\nLabels: team=web$/m);
  assert.match((await host.cli(["ws", "stop", "web"])).stdout, /^State: stopped$/m);
  const refused = await host.cli(["ws", "exec", "web", "--", "true"]);
  assert.equal(refused.status, 125);
  assert.match(refused.stderr, new RegExp(`is stopped: it was stopped.*\n.*pyro workspace start ${id}`));
  assert.match((await host.cli(["ws", "start", "web"])).stdout, /^State: started$/m);
  await host.cli(["ws", "exec", "web", "--", "touch"]);
  await host.cli(["ws", "stop", "web"]);
  const asked = await host.cli(["ws", "delete", "web"]);
  assert.equal(asked.status, 125);
  assert.match(asked.stderr, /--force/);
  const deleted = await host.cli(["ws", "delete", "web", "--force"]);
  assert.equal(deleted.stdout, `Deleted workspace: ${id}\n`);
  assert.match(deleted.stderr, new RegExp(`pyro workspace restore ${id}`));
  assert.match(
    (await host.cli(["ws", "list", "--deleted"])).stdout,
    new RegExp(`^${id} \\[stopped\\] name=web .*deleted=`),
  );
  assert.match((await host.cli(["ws", "restore", "web"])).stdout, /^State: stopped$/m);
  assert.equal((await host.cli(["ws", "delete", "web", "--force", "--purge"])).stderr, "");
  assert.match((await host.cli(["ws", "restore", "web"])).stderr, /no workspace web in the trash/);
});

test("workspace: names and ids that could be a path or drive a terminal are refused before anything is touched", async () => {
  await using host = new FakeHost();
  await host.serve();
  for (const words of [
    ["create", "debian:12", "--name", "a\u001b[31m"],
    ["delete", "../../etc", "--force", "--purge"],
    ["create", "debian:12", "--ttl-seconds", "59"],
    ["create", "debian:12", "--label", "novalue"],
  ]) {
    const { status, stdout, stderr } = await host.cli(["workspace", ...words]);
    assert.equal(status, 2, `${words.join(" ")}: ${stdout}${stderr}`);
    assert.ok(!stderr.includes("\u001b"));
  }
  assert.deepEqual(host.machines.history, []);
  const { create, delete: remove } = operations.workspace;
  for (const name of ["../up", "a/b", ".", "..", "-x", "a b", "", "a\0b", "0123456789ab", "x".repeat(64)]) {
    assert.ok(!create.input.safeParse({ environment: "debian:12", name }).success, JSON.stringify(name));
  }
  for (const workspace of ["../../etc", "a/b", "..", ".", "", "a\nb"]) {
    assert.ok(!remove.input.safeParse({ workspace }).success, JSON.stringify(workspace));
  }
  assert.ok(create.input.safeParse({ environment: "debian:12", name: "api-1.x_y" }).success);
});
