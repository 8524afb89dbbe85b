/** However Firecracker is broken, what was meant for a guest never runs on its host (test/guest/never-on-host.test.ts has QEMU). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { INSIDE } from "./places.ts";
import { suiteMachine } from "./suite-machine.ts";

const TIME_LIMIT_MS = 120_000;
const SCRATCH = "/run/broken";
const CANARY = `${SCRATCH}/canary`;

/** Says that it is Firecracker, and runs whatever it is given. */
const LIAR = '#!/bin/sh\n[ "$1" = --version ] && { echo "Firecracker v1.12.1"; exit 0; }\neval "$*"; exec sh -c "$*"\n';

/** Where /dev/kvm is another device. */
const WITHOUT_KVM = "unshare --mount sh -c 'mount --bind /dev/null /dev/kvm && exec \"$@\"' sh ";

const CASES: readonly { name: string; code: RegExp; settings: string; within?: string }[] = [
  { name: "one that runs what it is given", code: /^vmm_failed$/, settings: `PYRO_FIRECRACKER=${SCRATCH}/liar` },
  { name: "a shell in its place", code: /^host_unsupported$/, settings: "PYRO_FIRECRACKER=/bin/sh" },
  { name: "another device for /dev/kvm", code: /^host_unsupported$/, settings: "", within: WITHOUT_KVM },
];

test("nested: never on the host, however Firecracker is broken", async (t) => {
  const { machine } = await suiteMachine();
  await machine.run({
    command: `mkdir -m 777 ${SCRATCH} && cat > ${SCRATCH}/liar && chmod 755 ${SCRATCH}/liar`,
    stdin: (async function* () {
      yield await Promise.resolve(Buffer.from(LIAR));
    })(),
    timeLimitMs: TIME_LIMIT_MS,
  });
  for (const { name, code, settings, within = "" } of CASES) {
    await t.test(name, async () => {
      const variables = `PYRO_MACHINE=firecracker PYRO_RUNTIME_DIR=${SCRATCH}/run PYRO_READY_MACHINES=0 ${settings}`;
      const pyro = `${within}env ${variables} node dist/bin.cjs`;
      const command = `${pyro} run debian:12 --json -- touch ${CANARY}; [ $? = 125 ] && ${pyro} server stop --force >/dev/null`;
      const said = await machine.run({ command, cwd: INSIDE.payload, timeLimitMs: TIME_LIMIT_MS });
      const { error } = JSON.parse(said) as { error: { code: string; message: string; remedy?: string } };
      assert.match(error.code, code, said);
      assert.ok(error.message !== "" && (error.remedy ?? "") !== "", said);
      const canary = await machine.run({
        command: `ls ${CANARY} 2>/dev/null || echo none`,
        timeLimitMs: TIME_LIMIT_MS,
      });
      assert.equal(canary, "none\n");
    });
  }
});
