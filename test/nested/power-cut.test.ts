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
