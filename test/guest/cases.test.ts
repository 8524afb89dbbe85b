/** The table of cases on the host's own machine: QEMU, with KVM where it works, otherwise emulated. */
import { test } from "node:test";
import { GUEST_CASES } from "../support/guest-cases.ts";
import { machineForCases } from "../support/guest-machine.ts";

const { machine } = machineForCases();

for (const { name, run } of GUEST_CASES) {
  test(`guest: ${name}`, async () => await run(machine()));
}
