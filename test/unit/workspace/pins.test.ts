/** What snapshots pin, on machines without guests: what is known of it when, and what is said when it is not. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import type { Workspace } from "../../../src/workspace/workspace.ts";
import { FakeHost } from "../../support/fake-host.ts";
import type { FakeDisk } from "../../support/fake-volume.ts";
import { call, NEW_WORKSPACE } from "../../support/new-workspace.ts";

const diskOf = (host: FakeHost, { record }: Workspace): FakeDisk =>
  host.machines.disk(join(host.paths.state, "workspaces", record.id, "volume.raw"));

const known = async (workspace: Workspace): Promise<[string, number | null][]> =>
  (await workspace.snapshots.pins()).pins.map(({ name, bytes }) => [name, bytes]);

test("pins: they are counted while it is started, and kept at its stop", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await all.create(NEW_WORKSPACE, call);
  const disk = diskOf(host, made);
  assert.deepEqual(await made.snapshots.pins(), { countedAt: null, unknown: null, pins: [] });
  assert.deepEqual(disk.calls, [], "without a snapshot the guest is not asked");
  await made.snapshots.create("one");
  await made.snapshots.create("two");
  const [first, same] = await Promise.all([made.snapshots.pins(), made.snapshots.pins()]);
  assert.equal(first, same, "whoever asks meanwhile gets the same count");
  assert.deepEqual(disk.calls, ["count pins"]);
  disk.pinnedBytes = 8192;
  await made.stop("asked", "it was stopped");
  disk.pinnedBytes = 0;
  const expected = [
    ["one", 8192],
    ["two", 8192],
  ];
  assert.deepEqual(await known(made), expected);
  const later = await host.workspaces();
  assert.deepEqual(await known(later.find(made.record.id)), expected, "the next server knows it too");
  await made.snapshots.delete("one");
  assert.deepEqual(await known(made), [["two", null]], "what both held together is the other one's now");
  await all.start(made, call);
  assert.deepEqual(await known(made), [["two", 0]]);
  await all.close();
});

test("pins: what is not counted to the end is unknown, and why is said", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await all.create(NEW_WORKSPACE, call);
  const disk = diskOf(host, made);
  await made.snapshots.create("one");
  disk.pinnedBytes = undefined;
  const unfinished = await made.snapshots.pins();
  assert.deepEqual([unfinished.countedAt, unfinished.pins], [null, [{ name: "one", bytes: null }]]);
  assert.match(unfinished.unknown ?? "", /not counted to the end within 2000 ms/);
  disk.failures.set("countPins", new PyroError("guest_failed", "an agent of before"));
  assert.equal((await made.snapshots.pins()).unknown, "an agent of before");
  await made.pause(0);
  assert.equal((await made.snapshots.pins()).unknown, "the workspace is paused");
  await made.resume();
  await made.stop("asked", "it was stopped");
  assert.match((await made.snapshots.pins()).unknown ?? "", /not counted when the workspace was stopped/);
  await all.close();
});
