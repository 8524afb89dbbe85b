/** The table of cases as it runs in the nested machine: one process, on the machine that PYRO_MACHINE names. */
import { test } from "node:test";
import { GUEST_CASES } from "../../support/guest-cases.ts";
import { machineForCases } from "../../support/guest-machine.ts";

/** Every page that a guest touches for the first time costs a third of a millisecond here: less memory, less to touch. */
const machine = machineForCases({ memoryMib: 256 });

for (const { name, run } of GUEST_CASES) {
  test(name, async () => await run(machine()));
}
