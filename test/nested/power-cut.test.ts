/** The nested machine's power can be cut: the tests of what must survive that build on this. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { INSIDE } from "./places.ts";
import { suiteMachine } from "./suite-machine.ts";

const LIMIT = { timeLimitMs: 30_000 };

test("nested: a file that was flushed survives a power cut, and the machine comes back on its disk", async () => {
  const shared = await suiteMachine();
  const { machine } = shared;
  const before = await machine.run({ command: "cat /proc/sys/kernel/random/boot_id", ...LIMIT });
  await machine.run({ command: `echo kept > ${INSIDE.disk}/flushed && sync ${INSIDE.disk}/flushed`, ...LIMIT });
  await machine.run({ command: "echo lost > /tmp/in-memory", ...LIMIT });
  const again = await shared.cutAndBoot();
  await assert.rejects(machine.run({ command: "true", ...LIMIT }), "the machine that was cut answers no more");
  assert.equal(await again.run({ command: `cat ${INSIDE.disk}/flushed`, ...LIMIT }), "kept\n");
  assert.equal(await again.run({ command: "test -e /tmp/in-memory || echo gone", ...LIMIT }), "gone\n");
  assert.notEqual(await again.run({ command: "cat /proc/sys/kernel/random/boot_id", ...LIMIT }), before);
});

test("nested: what a workspace acknowledged survives a power cut, and what was half done hurts nothing", async () => {
  const shared = await suiteMachine();
  const pyro = async (words: string, machine = shared.machine): Promise<string> =>
    await machine.run({
      command: `node dist/bin.js workspace ${words}`,
      cwd: INSIDE.payload,
      env: { PYRO_MACHINE: "qemu-kvm", PYRO_WORKSPACE: "cut" },
      timeLimitMs: 180_000,
    });
  await pyro("create debian:12 --name cut --mem-mib 256");
  await pyro("exec -- sh -c 'seq 100000 > numbers; echo kept > /root/kept'");
  await pyro("snapshot create one");
  await pyro("exec -- sh -c 'rm numbers; echo later > later'");
  await pyro("reset --snapshot one");
  // Neither this one's output nor its end is waited for.
  const running = shared.machine.start({
    command: "PYRO_WORKSPACE=cut node dist/bin.js workspace exec -- sh -c 'while :; do date >> dates; done'",
    cwd: INSIDE.payload,
    timeLimitMs: 180_000,
  });
  running.outcome.catch(() => undefined);
  await pyro("snapshot create two");
  const again = await shared.cutAndBoot();
  assert.match(await pyro("status", again), /^Stopped: server_ended/m);
  await pyro("start", again);
  assert.equal(
    await pyro("exec -- sh -c 'tail -n 1 numbers; ls later /root/kept 2>/dev/null || true'", again),
    "100000\n",
  );
  assert.match(await pyro("snapshot list", again), /^one \[named\].*\ntwo \[named\]/m);
  await pyro("reset --snapshot two", again);
  assert.equal(await pyro("exec -- tail -n 1 numbers", again), "100000\n");
  await pyro("delete --force --purge", again);
  await again.run({ command: "node dist/bin.js server stop", cwd: INSIDE.payload, timeLimitMs: 60_000 });
});
