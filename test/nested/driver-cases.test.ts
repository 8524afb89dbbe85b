/** The table's part below the SDK, on both drivers that need a KVM that works. */
import { test } from "node:test";
import { driverCases, PLAIN_USER_TEST } from "../support/driver-cases.ts";
import { NESTED_DRIVERS } from "./drivers.ts";
import { testsInside } from "./inside-tests.ts";

for (const driver of NESTED_DRIVERS) {
  const cases = testsInside(driver, {
    program: ".build/test/nested/inside/driver-cases.js",
    names: driverCases(driver).map(({ name }) => name),
    timeLimitMs: 600_000,
  });
  const ofPlainUser = testsInside(driver, {
    program: ".build/test/nested/inside/plain-user.js",
    names: [PLAIN_USER_TEST],
    timeLimitMs: 300_000,
  });
  for (const { name, run } of [...cases, ...ofPlainUser]) test(name, run);
}
