/** Of the table's third part: a VMM that is killed at any step of what it is asked for. */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { PyroError } from "../../src/contract/error.ts";
import type { StartedMachine } from "../../src/machine/start.ts";
import type { DriverCase } from "./driver-case.ts";
import { type DriverHost, monitors, run } from "./driver-host.ts";
import { vmmBelow } from "./vmm-properties.ts";
import { VmmSteps } from "./vmm-steps.ts";

const GIB = 1024 ** 3;

export const VMM_DEATH_CASES: readonly DriverCase[] = [
  {
    name: "a VMM killed at any step is a typed error that leaves nothing, and the next start works",
    run: async (host) => {
      using steps = new VmmSteps();
      const template = await host.template();
      const making = steps.take();
      const restored = await host.start();
      const starting = steps.take();
      await restored.vmm.growVolume(80 * GIB);
      const growing = steps.take();
      // A restored machine is saved by the same steps as one that was booted for seconds. It need not come to the end.
      await saveTo(host, restored).catch(() => undefined);
      const saving = steps.take();
      assert.ok(starting.length > 0 && growing.length > 0 && saving.length > 1, "there are steps to be killed at");
      assert.deepEqual(making.slice(-saving.length), saving);
      await restored.scope.close();

      for (const [index, step] of making.slice(0, -saving.length).entries()) {
        // What a restore asks for as well need not wait for a boot.
        if (!starting.includes(step)) await killedAt(steps, index, async () => await host.template(template));
      }
      for (const index of starting.keys()) await killedAt(steps, index, async () => await host.start());
      for (const [list, work] of [
        [growing, async (victim: StartedMachine) => await victim.vmm.growVolume(80 * GIB)],
        [saving, async (victim: StartedMachine) => await saveTo(host, victim)],
      ] as const) {
        for (const index of list.keys()) {
          const victim = await host.start();
          await killedAt(steps, index, async () => await work(victim));
          await victim.scope.close();
        }
      }
      assert.deepEqual(host.leftovers(), []);
      const next = await host.start();
      assert.equal(await run(next, "echo works"), "works\n");
      await next.scope.close();
    },
  },
];

/** Saves a machine to files that nobody needs. */
async function saveTo(host: DriverHost, { link, vmm }: StartedMachine): Promise<void> {
  // A connection does not live across a save.
  link.close();
  const directory = mkdtempSync(join(host.paths.cache, "saved-"));
  await vmm.save({ memoryPath: join(directory, "memory"), statePath: join(directory, "state") });
}

/** Kills the VMM with SIGKILL at the nth step of `work`, which must fail of that and leave nothing. */
async function killedAt(steps: VmmSteps, index: number, work: () => Promise<unknown>): Promise<void> {
  let killed: string | undefined;
  let count = 0;
  steps.onStep = (step) => {
    count += 1;
    if (count !== index + 1) return;
    killed = step;
    const [monitor] = monitors().slice(-1);
    process.kill(vmmBelow(monitor ?? assert.fail("no VMM runs")), "SIGKILL");
  };
  try {
    await assert.rejects(work(), (error: unknown) => {
      assert.ok(PyroError.is(error), String(error));
      assert.equal(error.code, "vmm_failed", `${killed}: ${error.message}`);
      assert.match(error.message, /SIGKILL/, `killed at ${killed}`);
      assert.ok(error.remedy);
      return true;
    });
  } finally {
    steps.onStep = () => undefined;
    steps.take();
  }
  assert.ok(killed !== undefined, `there was no step ${index}`);
}
