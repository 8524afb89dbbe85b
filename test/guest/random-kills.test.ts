/** Kills at random moments, on this host's machine; `npm run soak` has more of them. */
import { test } from "node:test";
import { client } from "../support/guest-host.ts";
import { killAtRandom, killsOfSuite } from "../support/random-kills.ts";

const pyro = client();

test("random kills: VMM, monitor, server and client are killed at random moments, and everything is clean afterwards", async (t) => {
  const onKill = (line: string): void => t.diagnostic(line);
  await killAtRandom({ pyro, ...killsOfSuite(8), memoryMib: 256, onKill });
});
