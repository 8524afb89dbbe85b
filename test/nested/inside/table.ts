/** The table of cases as it runs in the nested machine: one process, on the machine that PYRO_MACHINE names. */
import { test } from "node:test";
import { CLIENT_CASES } from "../../support/client-cases.ts";
import { GUEST_CASES } from "../../support/guest-cases.ts";
import { inWorkspace } from "../../support/case-workspace.ts";
import { WORKSPACE_TABLE } from "../../support/workspace-table.ts";
import { CASE_LIMIT, observed } from "./slow-case.ts";
import { machineForCases } from "../../support/guest-machine.ts";

/** Every page that a guest touches for the first time costs a third of a millisecond here: less memory, less to touch. */
const memoryMib = 256;
const { pyro, machine } = machineForCases({ memoryMib });

for (const { name, run } of GUEST_CASES) {
  test(name, CASE_LIMIT, async () => await observed(async () => await run(machine())));
}

for (const each of WORKSPACE_TABLE) {
  test(
    each.name,
    CASE_LIMIT,
    async () => await observed(async () => await inWorkspace({ pyro, memory: { mem_mib: memoryMib } }, each)),
  );
}

for (const { name, run } of CLIENT_CASES) {
  test(name, CASE_LIMIT, async () => await observed(async () => await run({ pyro, memory: { mem_mib: memoryMib } })));
}
