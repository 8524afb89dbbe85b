/** The table of cases as it runs in the nested machine: one process, on the machine that PYRO_MACHINE names. */
import { test } from "node:test";
import { CLIENT_CASES } from "../../support/client-cases.ts";
import { GUEST_CASES } from "../../support/guest-cases.ts";
import { FILE_CASES } from "../../support/file-cases.ts";
import { inWorkspace, WORKSPACE_CASES } from "../../support/workspace-cases.ts";
import { CASE_LIMIT, observed } from "./slow-case.ts";
import { machineForCases } from "../../support/guest-machine.ts";

/** Every page that a guest touches for the first time costs a third of a millisecond here: less memory, less to touch. */
const memoryMib = 256;
const { pyro, machine } = machineForCases({ memoryMib });

for (const { name, run } of GUEST_CASES) {
  test(name, CASE_LIMIT, async () => await observed(async () => await run(machine())));
}

for (const each of [...WORKSPACE_CASES, ...FILE_CASES]) {
  test(
    each.name,
    CASE_LIMIT,
    async () => await observed(async () => await inWorkspace({ pyro, memory: { mem_mib: memoryMib } }, each)),
  );
}

for (const { name, run } of CLIENT_CASES) {
  test(name, CASE_LIMIT, async () => await observed(async () => await run({ pyro, memory: { mem_mib: memoryMib } })));
}
