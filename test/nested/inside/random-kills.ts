/** Kills at random moments as they run in the nested machine, on the machine that PYRO_MACHINE names. */
import { test } from "node:test";
import { client } from "../../support/guest-host.ts";
import { KILLS_TEST, killAtRandom, killsOfSuite } from "../../support/random-kills.ts";

const pyro = client();

test(KILLS_TEST, async () => {
  const onKill = (line: string): void => void process.stderr.write(`${line}\n`);
  await killAtRandom({ pyro, ...killsOfSuite(3), memoryMib: 256, onKill });
});
