/**
 * Kills at random moments of machines on Firecracker: on QEMU they have been on this host already. `npm run soak` has more of
 * them, and on every driver.
 */
import { test } from "node:test";
import { KILLS_TEST, killSettings } from "../support/random-kills.ts";
import { NESTED_DRIVERS } from "./drivers.ts";
import { testsInside } from "./inside-tests.ts";

const settings = killSettings();
const drivers = NESTED_DRIVERS.filter((name) => name === "firecracker" || Object.keys(settings).length > 0);

for (const driver of drivers) {
  const kills = testsInside(driver, {
    program: ".build/test/nested/inside/random-kills.js",
    names: [KILLS_TEST],
    env: settings,
    timeLimitMs: 14_400_000,
  });
  for (const { name, run } of kills) test(name, run);
}
