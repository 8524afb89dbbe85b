/** Workspaces whose environment is installed anew under them, on machines without guests. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeEnvironments } from "../../support/fake-environments.ts";
import { FakeHost } from "../../support/fake-host.ts";
import { call, NEW_WORKSPACE } from "../../support/new-workspace.ts";

const [OLD, NEW] = ["a".repeat(64), "b".repeat(64)];

test("environments: a workspace stays on the root that it has started from, and is moved only when that is gone", async () => {
  await using host = new FakeHost();
  const notices: string[] = [];
  const all = await host.workspaces((notice) => notices.push(notice));
  const made = await all.create(NEW_WORKSPACE, call);
  assert.equal(made.record.environment_digest, OLD);
  host.machines.installedDigest = NEW;
  host.machines.keptDigests.add(OLD);
  assert.equal((await all.create(NEW_WORKSPACE, call)).record.environment_digest, NEW);
  await made.stop("asked", "it was stopped");
  await all.start(made, call);
  assert.equal(made.machine?.environmentDigest, OLD);
  await made.reset("baseline", call);
  assert.deepEqual([made.machine.environmentDigest, made.record.environment_digest, notices], [OLD, OLD, []]);
  host.machines.keptDigests.clear();
  await made.stop("asked", "it was stopped");
  await all.start(made, call);
  assert.equal(made.record.environment_digest, NEW);
  assert.match(
    notices.join("\n"),
    /the root that it has started from is gone: it is started on debian:12 as it is now/,
  );
  await all.close();
});

test("environments: a pull leaves what workspaces have started from, those in the trash too", async () => {
  await using host = new FakeHost();
  const dropped: string[][] = [];
  await host.serve({ environments: fakeEnvironments(dropped) });
  using pyro = host.pyro();
  const { workspace_id: workspace } = await pyro.workspace.create({ environment: "debian:12" });
  await pyro.workspace.delete({ workspace });
  await pyro.env.pull({ environment: "debian:12", force: true });
  const kept = ["/environments/fake", `/environments/fake@${OLD.slice(0, 16)}`];
  assert.deepEqual(dropped, [kept]);
  await pyro.workspace.delete({ workspace, purge: true });
  await pyro.env.pull({ environment: "debian:12", force: true });
  assert.deepEqual(dropped, [kept, []]);
});
