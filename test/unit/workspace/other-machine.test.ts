/** The machine that a workspace has run on is gone: it starts on another one, if any will do. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { WorkspaceRecord } from "../../../src/workspace/record.ts";
import { FakeHost } from "../../support/fake-host.ts";
import { call, NEW_WORKSPACE } from "../../support/new-workspace.ts";

/** A workspace that was made on a machine which this host does not have; its id. */
async function madeElsewhere(host: FakeHost, change: Partial<WorkspaceRecord> = {}): Promise<string> {
  const all = await host.workspaces();
  const { id } = (await all.create(NEW_WORKSPACE, call)).record;
  await all.close();
  const path = join(host.paths.state, "workspaces", id, "workspace.json");
  const record = JSON.parse(await readFile(path, "utf8")) as WorkspaceRecord;
  await writeFile(path, JSON.stringify({ ...record, machine: "firecracker", ...change }));
  return id;
}

test("other machine: a workspace starts on another one where its own is gone, which is said and remembered", async () => {
  await using host = new FakeHost();
  const id = await madeElsewhere(host);
  const notices: string[] = [];
  const all = await host.workspaces((notice) => notices.push(notice));
  const workspace = all.find(id);
  await all.start(workspace, call);
  assert.deepEqual([workspace.record.state, workspace.record.machine], ["started", "qemu-tcg"]);
  assert.deepEqual(notices, [`workspace ${id}: firecracker is gone: it is started on another machine`]);
  await workspace.stop("asked", "it was stopped");
  await all.start(workspace, call);
  assert.equal(notices.length, 1, "the next start asks for the machine that it ran on last");
  await workspace.reset("baseline", call);
  await all.close();
});

test("other machine: a reset does so too", async () => {
  await using host = new FakeHost();
  const id = await madeElsewhere(host);
  const all = await host.workspaces();
  const workspace = all.find(id);
  await workspace.reset("baseline", call);
  assert.deepEqual([workspace.record.state, workspace.record.machine], ["started", "qemu-tcg"]);
  await all.close();
});

test("other machine: one that wants the hardware's isolation starts on nothing less", async () => {
  await using host = new FakeHost();
  const id = await madeElsewhere(host, { require_isolation: "hardware" });
  const all = await host.workspaces();
  await assert.rejects(all.start(all.find(id), call), { code: "host_unsupported" });
  assert.deepEqual([all.find(id).record.state, all.find(id).record.machine], ["stopped", "firecracker"]);
  await all.close();
});

test("other machine: one that is asked for when a workspace is made is that one, or none", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  await assert.rejects(all.create({ ...NEW_WORKSPACE, machine: "firecracker" }, call), { code: "host_unsupported" });
  assert.deepEqual(all.list(), []);
  await all.close();
});
