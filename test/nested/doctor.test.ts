/** What doctor says where KVM works, and to whom may not use it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DoctorReport } from "../../src/contract/host-operations.ts";
import { INSIDE } from "./places.ts";
import { suiteMachine } from "./suite-machine.ts";

const TIME_LIMIT_MS = 120_000;
/** No user of the machine's. */
const PLAIN_USER = 1000;
/** Of the device, as the nested machine is set up. */
const KVM_GROUP = 104;

async function doctor(words = "", become = ""): Promise<string> {
  const { machine } = await suiteMachine();
  // Exit status 1 says that something is to be mended, which is doctor's own business here.
  const command = `${become} node dist/bin.cjs doctor ${words} || [ $? = 1 ]`;
  return await machine.run({ command, cwd: INSIDE.payload, timeLimitMs: TIME_LIMIT_MS });
}

test("nested doctor: the runtime passes, on the machine that a guest then gets", async () => {
  const said = await doctor();
  assert.match(said, /^Runtime: PASS$/m);
  assert.match(said, /execution_mode=guest_vsock/);
  const { kvm, machine } = JSON.parse(await doctor("--json")) as DoctorReport;
  assert.deepEqual([kvm.usable, kvm.readable, kvm.writable], [true, true, true]);
  assert.match(kvm.reason, /a vCPU ran through its loop in \d+ ms/);
  assert.equal(machine?.name, "firecracker");
  assert.deepEqual(
    [machine.execution_mode, machine.isolation, machine.confinement],
    ["guest_vsock", "hardware", "full"],
  );
});

test("nested doctor: who has no permission on /dev/kvm is told its group and the command, and in the group it works", async () => {
  const { machine } = await suiteMachine();
  const home = `${INSIDE.disk}/plain`;
  const places = ["CACHE", "STATE", "RUNTIME", "CONFIG"].map(
    (name) => `PYRO_${name}_DIR=${home}/${name.toLowerCase()}`,
  );
  const user = `--reuid ${PLAIN_USER} --regid ${PLAIN_USER}`;
  const report = async (groups: string): Promise<DoctorReport> =>
    JSON.parse(
      await doctor("--json", `setpriv ${user} ${groups} env HOME=${home} ${places.join(" ")}`),
    ) as DoctorReport;
  await machine.run({
    command: `mkdir ${home} && chown ${PLAIN_USER}:${PLAIN_USER} ${home}
      getent group ${KVM_GROUP} >/dev/null || echo kvm:x:${KVM_GROUP}: >> /etc/group`,
    timeLimitMs: TIME_LIMIT_MS,
  });
  const group = await machine.run({ command: `getent group ${KVM_GROUP} | cut -d: -f1`, timeLimitMs: TIME_LIMIT_MS });
  const without = await report("--clear-groups");
  assert.deepEqual([without.kvm.readable, without.kvm.writable, without.kvm.usable], [false, false, false]);
  const check = without.checks.find(({ id }) => id === "kvm");
  assert.match(without.kvm.reason, new RegExp(`its group is ${group.trim()}, and you are not in it`));
  // Where there is no sudo, as here, it is another program that asks for root's password.
  assert.ok(check?.fix?.includes(`usermod -aG ${group.trim()} $USER`), check?.fix ?? "no command");
  assert.equal(without.machine?.accelerator, "tcg");
  const within = await report(`--groups ${KVM_GROUP}`);
  assert.deepEqual([within.kvm.usable, within.machine?.accelerator], [true, "kvm"]);
});
