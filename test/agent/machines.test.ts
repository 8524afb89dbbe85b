/** Opening and ending machines, with the real agent in the place of guests. */
import assert from "node:assert/strict";
import { totalmem } from "node:os";
import { test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { gate, Host, run } from "../support/agent-host.ts";

test("machines: one that was opened answers a command, and closing it leaves no directory and no process", async () => {
  await using host = await Host.start();
  const machine = await host.open();
  assert.deepEqual(await host.directories(), [machine.id]);
  let output = "";
  const outcome = await run(machine, "echo works; exit 3", { onOutput: (text) => void (output += text) }).outcome;
  assert.deepEqual([outcome.exitCode, output], [3, "works\n"]);
  assert.deepEqual(host.machines.counts(), { held: 1, ready: 0 });
  await Promise.all([machine.close(), machine.close()]);
  assert.deepEqual(host.machines.counts(), { held: 0, ready: 0 });
  await host.leavesNothing();
});

/** The moments of a first start at which its caller may go away. */
const MOMENTS: readonly { when: string; arrange: (host: Host, abort: () => void) => void }[] = [
  { when: "before it begins", arrange: (_host, abort) => abort() },
  { when: "in the environment", arrange: (host, abort) => void (host.onEnvironment = abort) },
  ...(["boot", "save", "restore", "connect", "configure"] as const).map((step) => ({
    when: `in ${step}`,
    arrange: (host: Host, abort: () => void): void => {
      host.driver.during = (now) => (now === step ? abort() : undefined);
    },
  })),
  ...(["connect", "configure"] as const).map((step) => ({
    when: `in ${step} of a restored machine that does not answer`,
    arrange: (host: Host, abort: () => void): void => {
      host.driver.during = (now, machine) => {
        if (now !== step || host.driver.count("restore") === 0) return;
        machine.freeze();
        abort();
      };
    },
  })),
];

for (const { when, arrange } of MOMENTS) {
  // Well below the deadlines of what is waited for: it is the cancelling that ends it.
  test(`machines: a start cancelled ${when} is answered so and leaves nothing`, { timeout: 20_000 }, async () => {
    await using host = await Host.start();
    const caller = new AbortController();
    arrange(host, () => caller.abort());
    await assert.rejects(host.open({ signal: caller.signal }), { code: "cancelled" });
    await host.leavesNothing();
    host.onEnvironment = () => undefined;
    host.driver.during = () => undefined;
    await host.use(1);
  });
}

test("machines: a VMM that dies under an open machine settles `lost`, and its commands fail with that", async () => {
  await using host = await Host.start();
  const machine = await host.open();
  const started = gate();
  // Input that never comes: the command ends when the agent is gone.
  const stdin = (async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from("begun\n");
    await new Promise<never>(() => undefined);
  })();
  const { outcome } = run(machine, "exec cat", { stdin, onOutput: started.open });
  await started.opened;
  const [vmm] = host.driver.running;
  await vmm?.kill();
  const lost = await machine.lost;
  assert.equal(lost.code, "vmm_failed");
  assert.match(lost.message, /SIGKILL/);
  await assert.rejects(outcome, { code: "vmm_failed" });
  await assert.rejects(run(machine, "exit 0").outcome, { code: "vmm_failed" });
  await machine.close();
  await host.leavesNothing();
});

test("machines: the end of the server ends held, ready and starting machines, and no other is opened", async () => {
  await using host = await Host.start(1);
  await host.use(1);
  await host.ready(1);
  await host.open({ memoryMib: 2 });
  assert.deepEqual(host.machines.counts(), { held: 1, ready: 1 });
  const booting = gate();
  host.driver.during = (step) => (step === "boot" ? booting.open() : undefined);
  const starting = host.open({ memoryMib: 3 });
  const refused = assert.rejects(starting, { code: "cancelled" });
  await booting.opened;
  await host.machines.close();
  await refused;
  assert.deepEqual(host.machines.counts(), { held: 0, ready: 0 });
  await host.leavesNothing();
  await assert.rejects(host.open(), { code: "invalid_state" });
});

test("machines: one that the host has no memory for is refused before it is started, with what to do", async () => {
  await using host = await Host.start();
  const memoryMib = Math.ceil(totalmem() / 1024 ** 2);
  await assert.rejects(host.open({ memoryMib }), (failure: unknown) => {
    assert.ok(PyroError.is(failure) && failure.code === "resource_exhausted", String(failure));
    assert.match(`${failure.message} ${failure.remedy}`, new RegExp(`asks for ${memoryMib} .*--mem-mib`));
    return true;
  });
  assert.deepEqual(await host.templates(), []);
});
