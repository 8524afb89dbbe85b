/** Kills at random moments, on every driver that needs a KVM that works; `npm run soak` has more of them. */
import { KILLS_TEST, killSettings } from "../support/random-kills.ts";
import { NESTED_DRIVERS } from "./drivers.ts";
import { testsInside } from "./inside-tests.ts";

for (const driver of NESTED_DRIVERS) {
  testsInside(driver, {
    program: ".build/test/nested/inside/random-kills.js",
    names: [KILLS_TEST],
    env: killSettings(),
    timeLimitMs: 14_400_000,
  });
}
