/** Kills at random moments of what changes a workspace, on this host's machine; `npm run soak` has more of them. */
import { test } from "node:test";
import { client } from "../support/guest-host.ts";
import { killsOfSuite } from "../support/random-kills.ts";
import { killWorkspacesAtRandom } from "../support/random-workspace-kills.ts";

const pyro = client();

test("random kills: VMM, monitor, server and client are killed while workspaces are made and changed, and each tree is one of the two that are right", async (t) => {
  const onKill = (line: string): void => t.diagnostic(line);
  await killWorkspacesAtRandom({ pyro, ...killsOfSuite(4), memoryMib: 256, onKill });
});
