/** The table's part below the SDK, on both drivers that need a KVM that works. */
import { driverCases, PLAIN_USER_TEST } from "../support/driver-cases.ts";
import { NESTED_DRIVERS } from "./drivers.ts";
import { testsInside } from "./inside-tests.ts";

for (const driver of NESTED_DRIVERS) {
  testsInside(driver, {
    program: ".build/test/nested/inside/driver-cases.js",
    names: driverCases(driver).map(({ name }) => name),
    timeLimitMs: 600_000,
  });
  testsInside(driver, {
    program: ".build/test/nested/inside/plain-user.js",
    names: [PLAIN_USER_TEST],
    timeLimitMs: 300_000,
  });
}
