/** Kills at random moments of what changes a workspace, on this host's machine; `npm run soak` has more of them. */
import { test } from "node:test";
import { client } from "../support/guest-host.ts";
import { killsOfSuite } from "../support/random-kills.ts";
import { killWorkspacesAtRandom, WORKSPACE_KILLS_TEST } from "../support/random-workspace-kills.ts";

const pyro = client();

test(`random kills: ${WORKSPACE_KILLS_TEST}`, async (t) => {
  const onKill = (line: string): void => t.diagnostic(line);
  await killWorkspacesAtRandom({ pyro, ...killsOfSuite(4), memoryMib: 256, onKill });
});
