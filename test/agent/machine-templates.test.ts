/** Templates: made by the first start of a kind, made again when they are of no use, never left half-made. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { failing, gate, Host, run } from "../support/agent-host.ts";

for (const step of ["restore", "connect"] as const) {
  test(`templates: one that fails in ${step} is made again once, and then the error is the VMM's`, async () => {
    await using host = await Host.start();
    await host.use(1);
    let restored = true;
    host.driver.during = (now) => {
      if (now === "boot" || now === "restore") restored = now === "restore";
      if (now === step && restored) throw new PyroError("vmm_failed", "no such device");
    };
    await assert.rejects(host.open(), { code: "vmm_failed", message: "no such device" });
    assert.deepEqual([host.driver.count("boot"), host.driver.count("restore")], [2, 3]);
    await host.leavesNothing();
  });
}

test("templates: one that starts when it was made again is a start like any other", async () => {
  await using host = await Host.start();
  failing(host, "restore", "artifact_corrupt", 1);
  const machine = await host.open();
  assert.equal((await run(machine, "exit 0").outcome).exitCode, 0);
  assert.equal(host.driver.count("boot"), 2);
  assert.match(host.notices.join("\n"), /refused to restore/);
  assert.match(host.notices.join("\n"), /made again/);
  assert.equal((await host.templates()).length, 1);
  await machine.close();
});

test("templates: one of another CPU, VMM or host kernel is not loaded: one is made, which is said once", async () => {
  await using host = await Host.start();
  await host.use(1);
  const phases: string[] = [];
  for (const [index, identity] of ["another CPU", "another VMM", "another kernel"].entries()) {
    host.driver.templateIdentity = identity;
    for (const restores of [1, 2]) {
      const machine = await host.open({ memoryMib: 1, onPull: ({ phase }) => void phases.push(phase) });
      assert.equal(host.driver.count("boot"), 2 + index);
      assert.equal(host.driver.count("restore"), 1 + 2 * index + restores);
      await machine.close();
    }
  }
  assert.deepEqual(phases, ["template", "template", "template"]);
});

test("templates: two starts that meet an unfit one make one new one", async () => {
  await using host = await Host.start();
  await host.use(1);
  const both = gate();
  let unfit = 0;
  host.driver.during = async (step) => {
    if (step !== "restore" || unfit === 2) return;
    unfit += 1;
    if (unfit === 2) both.open();
    await both.opened;
    throw new PyroError("vmm_failed", "no such device");
  };
  const opened = await Promise.all([host.open(), host.open()]);
  assert.equal(host.driver.count("boot"), 2);
  await Promise.all(opened.map(async (machine) => await machine.close()));
});

for (const step of ["boot", "save"] as const) {
  test(`templates: a VMM that fails in ${step} is the error, no template is left, and the next start works`, async () => {
    await using host = await Host.start();
    failing(host, step, "vmm_failed", 1);
    await assert.rejects(host.open(), { code: "vmm_failed", message: `the VMM refused to ${step}` });
    assert.deepEqual(await host.templates(), []);
    await host.leavesNothing();
    await host.use(1);
  });
}

test("templates: two starts at once of a new kind make one, also when one of their callers goes away", async () => {
  await using host = await Host.start();
  const caller = new AbortController();
  host.driver.during = (step) => (step === "save" ? caller.abort() : undefined);
  const [left, first, second] = await Promise.allSettled([
    host.open({ signal: caller.signal }),
    host.open(),
    host.open(),
  ]);
  assert.equal(left.status === "rejected" && PyroError.from(left.reason).code, "cancelled");
  assert.equal(host.driver.count("boot"), 1);
  assert.equal(host.driver.running.size, 2);
  for (const opened of [first, second]) {
    assert.ok(opened.status === "fulfilled");
    await opened.value.close();
  }
});
