/** kill -9 of the server between any two steps of what it does with a workspace, alone and together with the host. */
import assert from "node:assert/strict";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Workspace } from "../../../src/workspace/workspace.ts";
import { claimedMachines, type Workspaces } from "../../../src/workspace/workspaces.ts";
import { CrashSteps } from "../../support/crash-steps.ts";
import { FakeHost } from "../../support/fake-host.ts";
import { call, NEW_WORKSPACE } from "../../support/new-workspace.ts";

const steps = new CrashSteps();
after(() => steps.close());

/** More than any of these takes: one that never ends is a failure. */
const STEPS_MAX = 100;

interface Scene {
  readonly all: Workspaces;
  readonly workspace: Workspace;
}

interface Operation {
  /** Before the server is killed in `run`. */
  readonly prepare?: (scene: Scene) => Promise<void>;
  readonly run: (scene: Scene) => Promise<unknown>;
  /** Trees that are right afterwards; the first is as it was. */
  readonly trees: readonly string[];
  /** The same for the names of snapshots. */
  readonly snapshots?: readonly (readonly string[])[];
}

/** The tree of a workspace whose snapshot `one` is "+", and which was changed since. */
const CHANGED = "++";
const SNAPSHOT = "+";
const ONE = ["baseline", "one"];

const deleted = async ({ all, workspace }: Scene): Promise<void> => {
  await all.delete(workspace.record.id, { force: true, purge: false });
};

const OPERATIONS: Readonly<Record<string, Operation>> = {
  "snapshot create": {
    run: async ({ workspace }) => await workspace.snapshots.create("two"),
    trees: [CHANGED],
    snapshots: [ONE, [...ONE, "two"]],
  },
  "snapshot delete": {
    run: async ({ workspace }) => await workspace.snapshots.delete("one"),
    trees: [CHANGED],
    snapshots: [ONE, ["baseline"]],
  },
  "reset to a snapshot": {
    run: async ({ workspace }) => await workspace.reset("one", call),
    trees: [CHANGED, SNAPSHOT],
  },
  "reset to the baseline": {
    run: async ({ workspace }) => await workspace.reset("baseline", call),
    trees: [CHANGED, ""],
  },
  stop: { run: async ({ workspace }) => await workspace.stop("asked", "it was stopped"), trees: [CHANGED] },
  start: {
    prepare: async ({ workspace }) => await workspace.stop("asked", "it was stopped"),
    run: async ({ all, workspace }) => await all.start(workspace, call),
    trees: [CHANGED],
  },
  delete: { run: deleted, trees: [CHANGED] },
  purge: {
    run: async ({ all, workspace }) => await all.delete(workspace.record.id, { force: true, purge: true }),
    trees: [CHANGED],
  },
  restore: {
    prepare: deleted,
    run: async ({ all, workspace }) => await all.restore(workspace.record.id),
    trees: [CHANGED],
  },
  rename: {
    run: async ({ all, workspace }) => await all.update(workspace, { name: "api", labels: {} }),
    trees: [CHANGED],
  },
  "hand over": { run: async ({ all }) => await all.handOver(), trees: [CHANGED] },
};

async function run(workspace: Workspace, name: string): Promise<void> {
  const { machine } = await workspace.commands.next(name, call.signal);
  const request = { argv: [name], env: {}, cwd: "/", user: "root", timeLimitMs: 1000, stdin: undefined };
  await machine.exec({ ...request, onOutput: () => undefined }).outcome;
}

async function sceneOf(host: FakeHost): Promise<Scene> {
  const all = await host.workspaces();
  const workspace = await all.create(NEW_WORKSPACE, call);
  await run(workspace, "touch");
  await workspace.snapshots.create("one");
  await run(workspace, "touch");
  return { all, workspace };
}

/** What the next server makes of it: `status` and `start` work, and everything is as it was or as it was to be. */
async function check(host: FakeHost, id: string, { trees, snapshots = [ONE] }: Operation): Promise<void> {
  host.machines.endAllBut(await claimedMachines(host.paths));
  const later = await host.workspaces();
  assert.deepEqual(later.unreadable, []);
  const inTrash = (await later.listDeleted()).some((record) => record.id === id);
  const found = inTrash ? await later.restore(id) : later.list().find(({ record }) => record.id === id);
  const disk = host.machines.disk(join(host.paths.state, "workspaces", id, "volume.raw"));
  // Of a purge all may be gone.
  if (found === undefined) assert.ok(trees === OPERATIONS["purge"]?.trees, "the workspace is there");
  else {
    assert.equal(
      host.machines.counts().held,
      found.record.state === "started" ? 1 : 0,
      "no machine without a workspace",
    );
    await later.start(found, call);
    await run(found, "true");
    assert.ok(trees.includes(disk.tree), `the tree is ${disk.tree}`);
    const names = found.snapshots.list().map(({ name }) => name);
    assert.ok(
      snapshots.some((right) => right.join() === names.join()),
      `it has ${names.join(", ")}`,
    );
    assert.ok(
      found.record.snapshots.every((each) => disk.snapshots.has(each.id)),
      "every snapshot is in the volume",
    );
    assert.equal(found.record.pending_reset, null);
  }
  await later.close();
  assert.equal(host.machines.counts().held, 0);
}

for (const [name, operation] of Object.entries(OPERATIONS)) {
  for (const withHost of [false, true]) {
    test(`crashes: ${name}, ${withHost ? "with its host, " : ""}after every step`, async () => {
      for (let count = 0; ; count += 1) {
        assert.ok(count < STEPS_MAX, "it never ends");
        await using host = new FakeHost();
        host.machines.steps = steps;
        const prepare = async (): Promise<Scene> => {
          const scene = await sceneOf(host);
          await operation.prepare?.(scene);
          return scene;
        };
        const { prepared, isDone } = await steps.run(prepare, operation.run, count);
        if (withHost) host.machines.cut();
        await check(host, prepared.workspace.record.id, operation);
        if (!isDone) continue;
        assert.ok(count > 0, "it takes steps");
        break;
      }
    });
  }
}

test("crashes: create, after every step, leaves a workspace that is whole, or nothing", async () => {
  for (let count = 0; ; count += 1) {
    assert.ok(count < STEPS_MAX, "it never ends");
    await using host = new FakeHost();
    host.machines.steps = steps;
    const prepare = async (): Promise<Workspaces> => await host.workspaces();
    const { isDone } = await steps.run(prepare, async (all) => await all.create(NEW_WORKSPACE, call), count);
    host.machines.endAllBut(await claimedMachines(host.paths));
    const later = await host.workspaces();
    const [found] = later.list();
    assert.deepEqual(later.unreadable, []);
    assert.deepEqual(await readdir(join(host.paths.state, "workspaces")), found === undefined ? [] : [found.record.id]);
    assert.equal(host.machines.counts().held, found === undefined ? 0 : 1);
    if (found !== undefined) await run(found, "true");
    await run(await later.create(NEW_WORKSPACE, call), "true");
    await later.close();
    if (!isDone) continue;
    assert.ok(found !== undefined && count > 0);
    break;
  }
});

test("crashes: a workspace whose removal was cut off in the middle is gone, and hinders nobody", async () => {
  for (const parent of ["workspaces", "trash"]) {
    await using host = new FakeHost();
    const all = await host.workspaces();
    const { record } = await all.create(NEW_WORKSPACE, call);
    if (parent === "trash") await all.delete(record.id, { force: true, purge: false });
    const directory = join(host.paths.state, parent, record.id);
    // As the kernel may leave it: without its record, and with the volume.
    await rename(directory, `${directory}.tmp`);
    await rm(join(`${directory}.tmp`, "workspace.json"));
    await mkdir(join(`${directory}.tmp`, "left"));
    host.machines.endAllBut(await claimedMachines(host.paths));
    const later = await host.workspaces();
    assert.deepEqual([later.list(), later.unreadable, await later.listDeleted()], [[], [], []]);
    assert.deepEqual(await readdir(join(host.paths.state, parent)), []);
    await later.close();
  }
});
