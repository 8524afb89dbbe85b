/** The table of cases on every driver that needs a KVM that works: each runs in the nested machine, in one process. */
import { test } from "node:test";
import { CLIENT_CASES } from "../support/client-cases.ts";
import { WORKSPACE_TABLE } from "../support/workspace-table.ts";
import { GUEST_CASES } from "../support/guest-cases.ts";
import { NESTED_DRIVERS } from "./drivers.ts";
import { testsInside } from "./inside-tests.ts";

/** Each case has its own limit; this one is the stage's. */
const TIME_LIMIT_MS = 1_800_000;
const NAMES = [...GUEST_CASES, ...WORKSPACE_TABLE, ...CLIENT_CASES].map(({ name }) => name);

for (const driver of NESTED_DRIVERS) {
  const program = ".build/test/nested/inside/table.js";
  for (const { name, run } of testsInside(driver, { program, names: NAMES, timeLimitMs: TIME_LIMIT_MS }))
    test(name, run);
}
