/**
 * Workspaces whose host loses its power while they are made and changed. `change`: makes some, changes all of them at once, says when it
 * begins and when each is done, and goes on until it is cut off. `check`: starts them again and looks at their trees.
 */
import assert from "node:assert/strict";
import { PyroError } from "../../../src/contract/error.ts";
import type { Pyro } from "../../../src/sdk/pyro.ts";
import { newClient } from "../../support/guest-host.ts";
import { exists, sh } from "../../support/workspace-by-name.ts";

const ENVIRONMENT = "debian:12";
const MEMORY = { mem_mib: 256 };

interface Change {
  readonly run: (pyro: Pyro, name: string) => Promise<unknown>;
  /** Contents of the file that are right afterwards. */
  readonly right: readonly string[];
}

const CHANGES: Readonly<Record<string, Change>> = {
  snapshot: {
    run: async (pyro, workspace) => await pyro.workspace.snapshot.create({ workspace, snapshot: "next" }),
    right: ["written"],
  },
  reset: {
    run: async (pyro, workspace) => await pyro.workspace.reset({ workspace, snapshot: "kept" }),
    right: ["written", "kept"],
  },
  stop: { run: async (pyro, workspace) => await pyro.workspace.stop({ workspace }), right: ["written"] },
  delete: {
    run: async (pyro, workspace) => await pyro.workspace.delete({ workspace, force: true }),
    right: ["written"],
  },
};
const NEW = "create";

/** Starts of a server that are given up when it is not there in time, which an emulated one on a busy host may not be. */
const STARTS_MAX = 5;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function change(pyro: Pyro): Promise<void> {
  for (const workspace of Object.keys(CHANGES)) {
    await pyro.workspace.create({ environment: ENVIRONMENT, name: workspace, ...MEMORY });
    await sh(pyro, workspace, "echo kept > tree; seq 10000 > numbers");
    await pyro.workspace.snapshot.create({ workspace, snapshot: "kept" });
    await sh(pyro, workspace, "echo written > tree");
    // What it acknowledges is on the disk, with all that was written before.
    await pyro.workspace.snapshot.create({ workspace, snapshot: "durable" });
  }
  const begin = performance.now();
  const done = (name: string) => (): void => say(`done ${name} ${Math.round(performance.now() - begin)}`);
  say("begun");
  const making = pyro.workspace.create({ environment: ENVIRONMENT, name: NEW, ...MEMORY }).then(done(NEW));
  const changing = Object.entries(CHANGES).map(async ([name, { run }]) => await run(pyro, name).then(done(name)));
  await Promise.all([making, ...changing]);
  say("over");
  await new Promise<void>((resolve) => void process.stdin.once("end", resolve).resume());
}

/** `done`: the changes that were acknowledged before the power was cut. */
async function check(pyro: Pyro, done: ReadonlySet<string>): Promise<void> {
  for (const [workspace, { right }] of Object.entries(CHANGES)) {
    const isThere = await exists(pyro, workspace);
    if (workspace !== "delete") assert.ok(isThere, `${workspace} is gone`);
    else assert.ok(!isThere || !done.has(workspace), "it was deleted, and is there again");
    if (!isThere) await pyro.workspace.restore({ workspace });
    await pyro.workspace.start({ workspace });
    const tree = (await sh(pyro, workspace, "cat tree")).trim();
    assert.ok(right.includes(tree), `${workspace}: the tree is ${tree}`);
    if (done.has("reset") && workspace === "reset") assert.equal(tree, "kept");
    assert.equal(await sh(pyro, workspace, "tail -n 1 numbers"), "10000\n");
    const { snapshots } = await pyro.workspace.snapshot.list({ workspace });
    const names = snapshots.map(({ snapshot_name: name }) => name);
    assert.deepEqual(names.slice(0, 3), ["baseline", "kept", "durable"]);
    if (done.has("snapshot") && workspace === "snapshot") assert.equal(names[3], "next");
    for (const snapshot of names.slice(1)) {
      await pyro.workspace.reset({ workspace, snapshot });
      assert.equal((await sh(pyro, workspace, "cat tree")).trim(), snapshot === "kept" ? "kept" : "written");
    }
    await pyro.workspace.delete({ workspace, force: true, purge: true });
    say(`right ${workspace} ${tree}`);
  }
  const isMade = await exists(pyro, NEW);
  assert.ok(isMade || !done.has(NEW), "it was made, and is gone");
  if (isMade) {
    await pyro.workspace.start({ workspace: NEW });
    assert.equal(await sh(pyro, NEW, "ls -A"), "");
    await pyro.workspace.delete({ workspace: NEW, force: true, purge: true });
  }
  say(`right ${NEW} ${isMade ? "made" : "not made"}`);
  await pyro.server.stop({ force: true });
}

/** Has the server started: whatever is asked afterwards is asked once. */
async function startServer(pyro: Pyro): Promise<void> {
  for (let count = 1; ; count += 1) {
    try {
      return void (await pyro.workspace.list({}));
    } catch (failure) {
      if (count === STARTS_MAX || !PyroError.is(failure) || failure.code !== "server_unavailable") throw failure;
    }
  }
}

const pyro = newClient();
const [mode, ...done] = process.argv.slice(2);
await startServer(pyro);
if (mode === "change") await change(pyro);
else await check(pyro, new Set(done));
pyro.close();
