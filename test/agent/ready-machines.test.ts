/** Machines that are kept ready for the next start of their kind, with the real agent in the place of guests. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isAlive } from "../../src/host/process-identity.ts";
import { failing, gate, Host, run } from "../support/agent-host.ts";
import type { FakeMachine } from "../support/fake-driver.ts";

test("ready machines: the next start of the kind takes one, and has it for itself", async () => {
  await using host = await Host.start(1);
  await host.use(1);
  await host.ready(1);
  const [ready] = host.driver.running;
  const [first, second] = await Promise.all([host.open(), host.open()]);
  assert.equal(host.driver.count("restore"), 3);
  assert.ok(ready !== undefined && host.driver.running.has(ready));
  assert.notEqual(first.id, second.id);
  assert.equal((await run(first, "exit 0").outcome).exitCode, 0);
  await Promise.all([first.close(), second.close()]);
});

test("ready machines: there are never more than the limit, and the oldest of another kind gives way", async () => {
  await using host = await Host.start(2);
  const kept: (FakeMachine | undefined)[] = [];
  for (const memoryMib of [1, 2, 3]) {
    await host.use(memoryMib);
    await host.ready(Math.min(memoryMib, 2));
    // The newest restored that is still there.
    kept.push([...host.driver.running].at(-1));
  }
  await kept[0]?.exited;
  assert.deepEqual([...host.driver.running], kept.slice(1));
  const before = host.driver.count("restore");
  await Promise.all([host.open({ memoryMib: 2 }), host.open({ memoryMib: 3 })]);
  assert.equal(host.driver.count("restore"), before, "both were ready");
  await host.open({ memoryMib: 1 });
  assert.equal(host.driver.count("restore"), before + 1, "this one had given way");
});

test("ready machines: a second one of a kind that is kept is not made", async () => {
  await using host = await Host.start(2);
  const opened = await Promise.all([host.open(), host.open()]);
  await Promise.all(opened.map(async (machine) => await machine.close()));
  await host.ready(1);
  assert.equal(host.driver.count("restore"), 3);
});

/** A host that is making one ready, and waits with that in its restore until `go.open` is called. */
async function makingReady(host: Host): Promise<{ go: () => void }> {
  const machine = await host.open();
  const begun = gate();
  const go = gate();
  host.driver.during = async (step) => {
    if (step !== "restore") return;
    begun.open();
    await go.opened;
  };
  await machine.close();
  await begun.opened;
  return { go: go.open };
}

test("ready machines: one that is being made is taken when it is done", async () => {
  await using host = await Host.start(1);
  const { go } = await makingReady(host);
  const opening = host.open();
  go();
  const machine = await opening;
  assert.equal(host.driver.count("restore"), 2);
  assert.equal((await run(machine, "exit 0").outcome).exitCode, 0);
});

test("ready machines: a caller that goes away takes with it the one that it waited for", async () => {
  await using host = await Host.start(1);
  await makingReady(host);
  const caller = new AbortController();
  const opening = host.open({ signal: caller.signal, onPhase: () => setImmediate(() => caller.abort()) });
  await assert.rejects(opening, { code: "cancelled" });
  await host.leavesNothing();
});

test("ready machines: one that cannot be made is only a slower next start", async () => {
  await using host = await Host.start(1);
  const machine = await host.open();
  failing(host, "restore", "vmm_failed", 1);
  await machine.close();
  const next = await host.open();
  assert.equal((await run(next, "exit 0").outcome).exitCode, 0);
  assert.match(host.notices.join("\n"), /was not made: the VMM refused to restore/);
  assert.equal(host.driver.count("boot"), 1);
});

test("ready machines: one that died is not handed out, and leaves nothing", async () => {
  await using host = await Host.start(1);
  await host.use(1);
  for (const heard of [true, false]) {
    await host.ready(1);
    const [dead] = [...host.driver.running];
    assert.ok(dead !== undefined);
    const gone = dead.kill();
    if (heard) await host.ready(0);
    // The kernel has ended it before this process hears of that.
    else while (isAlive(dead.process));
    const machine = await host.open();
    assert.equal((await run(machine, "exit 0").outcome).exitCode, 0);
    await gone;
    assert.deepEqual(await host.directories(), [machine.id]);
    await machine.close();
  }
});
