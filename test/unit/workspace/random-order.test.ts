/** Whatever is asked of a workspace in whatever order, by several at once: it answers, and what it says is true. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { PyroError } from "../../../src/contract/error.ts";
import type { Workspace } from "../../../src/workspace/workspace.ts";
import type { Workspaces } from "../../../src/workspace/workspaces.ts";
import { FakeHost } from "../../support/fake-host.ts";
import { call, NEW_WORKSPACE } from "../../support/new-workspace.ts";

const ROUNDS = 200;

/** What may be refused to whoever comes at the wrong moment. */
const REFUSALS = new Set(["invalid_state", "not_found", "already_exists"]);

type Step = (workspace: Workspace, all: Workspaces) => Promise<unknown>;

const STEPS: Readonly<Record<string, Step>> = {
  start: async (workspace, all) => await all.start(workspace, call),
  stop: async (workspace) => await workspace.stop("asked", "it was stopped"),
  touch: async (workspace) => await run(workspace, "touch"),
  crash: async (workspace) => await run(workspace, "crash").catch(() => undefined),
  "snapshot a": async (workspace) => await workspace.snapshots.create("a"),
  "snapshot b": async (workspace) => await workspace.snapshots.create("b"),
  "delete a": async (workspace) => await workspace.snapshots.delete("a"),
  "reset a": async (workspace) => await workspace.reset("a", call),
  "reset baseline": async (workspace) => await workspace.reset("baseline", call),
  rename: async (workspace, all) => await all.update(workspace, { name: "other", labels: {} }),
  delete: async (workspace, all) => await all.delete(workspace.record.id, { force: true, purge: false }),
};

async function run(workspace: Workspace, name: string): Promise<void> {
  const { machine } = await workspace.commands.next(name, call.signal);
  const request = { argv: [name], env: {}, cwd: "/", user: "root", timeLimitMs: 1000, stdin: undefined };
  await machine.exec({ ...request, onOutput: () => undefined }).outcome;
}

test(`workspaces: ${ROUNDS} rounds of anything at once end in a workspace that is what its record says`, async () => {
  await using host = new FakeHost();
  let all = await host.workspaces();
  const round = fc.array(fc.constantFrom(...Object.keys(STEPS)), { minLength: 1, maxLength: 8 });
  const { id } = (await all.create(NEW_WORKSPACE, call)).record;
  const disk = host.machines.disk(join(host.paths.state, "workspaces", id, "volume.raw"));
  for (const [index, names] of fc.sample(round, ROUNDS).entries()) {
    let workspace = all.find(id);
    const outcomes = await Promise.allSettled(names.map(async (name) => await STEPS[name]?.(workspace, all)));
    for (const outcome of outcomes) {
      if (outcome.status === "fulfilled") continue;
      const { code } = PyroError.from(outcome.reason);
      assert.ok(REFUSALS.has(code), `round ${index}, ${names.join(", ")}: ${String(outcome.reason)}`);
    }
    const isDeleted = !all.list().includes(workspace);
    assert.ok(!isDeleted || names.includes("delete"), "it is there unless it was deleted");
    if (isDeleted) workspace = await all.restore(id);
    // In its turn, so after all of them.
    await all.update(workspace, { labels: { round: String(index) } });
    const { state, pending_reset: pending, snapshots } = workspace.record;
    assert.equal(state === "started", workspace.machine !== undefined);
    assert.equal(pending, null);
    assert.ok(
      snapshots.every((each) => disk.snapshots.has(each.id)),
      "every recorded snapshot is there",
    );
    // Now and then a server that is killed: the next one goes by the records alone.
    if (index % 10 !== 9) continue;
    await workspace.machine?.close();
    all = await host.workspaces();
    assert.equal(all.find(id).record.state, "stopped");
    assert.deepEqual(all.find(id).snapshots.list().length, snapshots.length + 1);
  }
  await all.close();
});
