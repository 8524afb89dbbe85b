/** Volumes that are full to their very end, on machines without guests. */
import assert from "node:assert/strict";
import { truncate } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { VOLUME_GIB_MAX } from "../../../src/contract/limits.ts";
import { FakeHost } from "../../support/fake-host.ts";
import { call, NEW_WORKSPACE } from "../../support/new-workspace.ts";

const GIB = 1024 ** 3;
const full = (): PyroError =>
  new PyroError("resource_exhausted", "the volume is full", { evidence: { full: "volume" } });

test("full volume: a reset of one that has no room for it makes it larger and is done, and so does a start", async () => {
  await using host = new FakeHost();
  const notices: string[] = [];
  const all = await host.workspaces((notice) => notices.push(notice));
  const made = await all.create(NEW_WORKSPACE, call);
  const disk = host.machines.disk(join(host.paths.state, "workspaces", made.record.id, "volume.raw"));
  await made.snapshots.create("one");
  const { sizeBytes } = await made.volumeSize();
  disk.failures.set("prepare", full());
  const source = await made.reset("one", call);
  assert.deepEqual([disk.calls.at(-1), made.record.pending_reset], [`reset ${source.id}`, null]);
  assert.equal((await made.volumeSize()).sizeBytes, sizeBytes + 2 * GIB);
  assert.match(notices.join("\n"), /full to its end, and is made 2 GiB larger/);
  await made.stop("asked", "it was stopped");
  disk.failures.set("prepare", full());
  await all.start(made, call);
  assert.equal((await made.volumeSize()).sizeBytes, sizeBytes + 4 * GIB);
  await all.delete(made.record.id, { force: true, purge: true });
});

test("full volume: the largest there is says so, and another failure makes none larger", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await all.create(NEW_WORKSPACE, call);
  const path = join(host.paths.state, "workspaces", made.record.id, "volume.raw");
  const disk = host.machines.disk(path);
  await made.stop("asked", "it was stopped");
  disk.failures.set("prepare", new PyroError("resource_exhausted", "no memory"));
  await assert.rejects(all.start(made, call), { message: "no memory" });
  assert.equal((await made.volumeSize()).sizeBytes, 0);
  await truncate(path, (VOLUME_GIB_MAX - 1) * GIB);
  disk.failures.set("prepare", full());
  await assert.rejects(all.start(made, call), { message: "the volume is full" });
  assert.equal((await made.volumeSize()).sizeBytes, (VOLUME_GIB_MAX - 1) * GIB);
  await all.delete(made.record.id, { force: true, purge: true });
});
