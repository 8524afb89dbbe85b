/** The server, VMM and client killed before each step of what brings files in and out; the suite kills the server before some of them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { beginScene, endScene, killAtEachStep, OPERATIONS, type Victim } from "../support/file-steps.ts";
import { newSteppingClient, paths } from "../support/guest-host.ts";
import { soaking } from "../support/random-kills.ts";
import { StepOrders } from "../support/step-orders.ts";

const VICTIMS: readonly Victim[] = soaking ? ["server", "VMM", "client"] : ["server"];
/** Of each operation: in the suite some of them. */
const KILLS = soaking ? Number.POSITIVE_INFINITY : 2;

const orders = new StepOrders(paths.state, join(process.cwd(), "dist", "server-bin.cjs"));
const pyro = newSteppingClient();
const host = mkdtempSync(join(tmpdir(), "pyro-steps-"));
after(async () => {
  rmSync(host, { recursive: true });
  await pyro.server.stop({ force: true });
  pyro.close();
});

test("file steps: whoever is killed at whichever step, the workspace is before or after, and the host has the old target or the new one", async (t) => {
  const scene = await beginScene(pyro, orders, host);
  for (const victim of VICTIMS) {
    for (const name of Object.keys(OPERATIONS)) {
      const begin = performance.now();
      const { killed, steps } = await killAtEachStep(scene, name, { victim, kills: KILLS });
      t.diagnostic(
        `${name}: ${victim} killed ${killed} times, of ${steps} steps, ${Math.round(performance.now() - begin)} ms`,
      );
    }
  }
  await endScene(scene);
});
