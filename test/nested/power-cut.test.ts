/** The nested machine's power can be cut: the tests of what must survive that build on this. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { INSIDE } from "./places.ts";
import { suiteMachine } from "./suite-machine.ts";

const LIMIT = { timeLimitMs: 30_000 };
/** Some ten calls of pyro and four starts of a machine, on a busy host. */
const SESSION_LIMIT_MS = 300_000;

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

/** In one command: what it starts, the server among it, ends with it. */
const BEFORE_THE_CUT = `set -e
ws() { node dist/bin.cjs workspace "$@"; }
ws create debian:12 --name cut --mem-mib 256
ws exec -- sh -c 'seq 100000 > numbers; echo kept > /root/kept'
ws snapshot create one
ws exec -- sh -c 'rm numbers; echo later > later'
ws reset --snapshot one
ws exec --timeout-seconds 600 -- sh -c 'while :; do date >> dates; done' &
ws snapshot create two
echo acknowledged
wait
`;

const AFTER_THE_CUT = `set -e
ws() { node dist/bin.cjs workspace "$@"; }
ws status
ws start
ws exec -- sh -c 'tail -n 1 numbers; ls later /root/kept 2>/dev/null || true'
ws snapshot list
ws reset --snapshot two
ws exec -- sh -c 'tail -n 1 numbers; ls'
ws delete --force --purge
node dist/bin.cjs server stop
`;

test("nested: what a workspace acknowledged survives a power cut, and what was half done hurts nothing", async () => {
  const shared = await suiteMachine();
  const session = {
    cwd: INSIDE.payload,
    env: { PYRO_MACHINE: "qemu-kvm", PYRO_WORKSPACE: "cut" },
    timeLimitMs: SESSION_LIMIT_MS,
  };
  let said = "";
  let say: () => void = () => undefined;
  const acknowledged = new Promise<void>((resolve) => (say = resolve));
  const onOutput = (_stream: string, data: Uint8Array): void => {
    said += Buffer.from(data).toString();
    if (said.includes("acknowledged")) say();
  };
  const { outcome } = shared.machine.start({ ...session, command: BEFORE_THE_CUT, onOutput });
  const ended = outcome.then(() => assert.fail(`it ended before the power was cut: ${said}`));
  await Promise.race([acknowledged, ended]);
  ended.catch(() => undefined);
  const again = await shared.cutAndBoot();
  const after = await again.run({ ...session, command: AFTER_THE_CUT });
  assert.match(after, /^Stopped: server_ended/m);
  // Once after the start, once after the reset; neither the file that the reset took away nor the root's are there.
  assert.equal([...after.matchAll(/^100000$/gm)].length, 2, after);
  assert.doesNotMatch(after, /^(later|\/root\/kept)$/m);
  assert.match(after, /^one \[named\].*\ntwo \[named\]/m);
});
