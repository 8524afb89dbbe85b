/** Kills at random moments of what brings files in and out, on this host's machine; `npm run soak` has more of them. */
import { test } from "node:test";
import { client } from "../support/guest-host.ts";
import { killCopiesAtRandom } from "../support/random-file-kills.ts";
import { killsOfSuite } from "../support/random-kills.ts";

const pyro = client();

test("random kills: VMM, monitor, server and client are killed while files go in and out, and each side has the old or the new ones", async (t) => {
  const onKill = (line: string): void => t.diagnostic(line);
  await killCopiesAtRandom({ pyro, ...killsOfSuite(3), memoryMib: 256, onKill });
});
