/** Growing volumes, on machines without guests. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { VOLUME_GIB_MAX } from "../../../src/contract/limits.ts";
import { FakeHost } from "../../support/fake-host.ts";
import { call, NEW_WORKSPACE } from "../../support/new-workspace.ts";

const GIB = 1024 ** 3;

test("volume size: what is refused changes nothing, and what was interrupted is finished by asking again", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await all.create({ ...NEW_WORKSPACE, name: "api" }, call);
  const path = join(host.paths.state, "workspaces", made.record.id, "volume.raw");
  const disk = host.machines.disk(path);
  const size = async (): Promise<number> => (await made.volumeSize()).sizeBytes;
  await all.update(made, { labels: {}, volumeBytes: 80 * GIB });
  assert.deepEqual([await size(), disk.calls], [80 * GIB, [`grow ${80 * GIB}`]]);
  const smaller = all.update(made, { name: "other", labels: { a: "1" }, volumeBytes: 79 * GIB });
  await assert.rejects(smaller, { code: "invalid_argument", message: /never shrinks: it has 80 GiB/ });
  assert.deepEqual([made.record.name, made.record.labels, disk.calls.length], ["api", {}, 1]);
  disk.failures.set("grow", new PyroError("guest_unreachable", "it is wedged"));
  await assert.rejects(all.update(made, { labels: {}, volumeBytes: 90 * GIB }), { code: "guest_unreachable" });
  await all.update(made, { labels: {}, volumeBytes: 90 * GIB });
  assert.deepEqual([await size(), disk.calls.at(-1)], [90 * GIB, `grow ${90 * GIB}`]);
  await made.pause(0);
  await assert.rejects(all.update(made, { labels: {}, volumeBytes: 91 * GIB }), { code: "resource_exhausted" });
  assert.equal(await size(), 90 * GIB);
  await made.resume();
  await made.stop("asked", "it was stopped");
  const { length } = disk.calls;
  await all.update(made, { labels: {}, volumeBytes: 100 * GIB });
  assert.deepEqual(
    [await size(), disk.calls.length],
    [100 * GIB, length],
    "no guest is needed for one that is stopped",
  );
});

test("volume size: the command line refuses what no volume can be before anything is asked", async () => {
  await using host = new FakeHost();
  await host.serve();
  await host.cli(["ws", "create", "debian:12", "--name", "api"]);
  for (const gib of ["0", String(VOLUME_GIB_MAX + 1), "1.5", "many"]) {
    assert.equal((await host.cli(["ws", "update", "api", "--volume-gib", gib])).status, 2, gib);
  }
  const grown = await host.cli(["ws", "update", "api", "--volume-gib", "70", "--json"]);
  assert.equal((JSON.parse(grown.stdout) as { volume_bytes: number }).volume_bytes, 70 * GIB);
  assert.match((await host.cli(["ws", "status", "api"])).stdout, /^Volume: 70\.0 GiB$/m);
});
