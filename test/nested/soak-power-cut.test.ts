/**
 * The host's power is cut while workspaces are made and changed, at moments spread evenly over what that takes: in `npm run soak`
 * only, a round takes minutes. That no step between two is left out is test/unit/workspace/crashes.test.ts's part.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { killsOfSuite, soaking } from "../support/random-kills.ts";
import { INSIDE } from "./places.ts";
import { suiteMachine } from "./suite-machine.ts";

/** Workspaces that are changed in one round. */
const CHANGES_IN_ONE = 5;
const LIMIT_MS = 1_800_000;
const PROGRAM = "node --enable-source-maps .build/test/nested/inside/cut-workspaces.js";

test("nested: a power cut at any moment of create, snapshot, reset, stop and delete leaves trees that are right", async (t) => {
  if (!soaking) return t.skip("a round takes minutes: npm run soak -- soak-power-cut");
  const rounds = Math.ceil(killsOfSuite(CHANGES_IN_ONE).count / CHANGES_IN_ONE);
  const session = { cwd: INSIDE.payload, env: { PYRO_MACHINE: "qemu-kvm" }, timeLimitMs: LIMIT_MS };
  const shared = await suiteMachine();
  // The first round is cut when all is done, and says how long that takes.
  let usualMs: number | undefined;
  for (let round = 0; round <= rounds; round += 1) {
    // The last moments first: most steps lie there.
    const changes = new Changes(usualMs === undefined ? undefined : (usualMs * (rounds - round + 0.5)) / rounds);
    const { outcome } = shared.machine.start({
      ...session,
      command: `${PROGRAM} change`,
      onOutput: (_stream, data) => changes.hear(Buffer.from(data).toString()),
    });
    const ended = outcome.then(() => assert.fail(`it ended before the power was cut: ${changes.said}`));
    await Promise.race([changes.moment, ended]);
    ended.catch(() => undefined);
    const machine = await shared.cutAndBoot();
    const done = [...changes.said.matchAll(/^done (\S+)/gm)].map(([, name]) => name);
    usualMs ??= Math.max(...[...changes.said.matchAll(/^done \S+ (\d+)$/gm)].map(([, ms]) => Number(ms)));
    const found = await machine.run({ ...session, command: `${PROGRAM} check ${done.join(" ")}` });
    assert.equal([...found.matchAll(/^right /gm)].length, CHANGES_IN_ONE, found);
    t.diagnostic(`round ${round}, done: ${done.join(" ")}; ${found.trim().split("\n").join(", ")}`);
  }
});

/** What the changing program says, and the moment at which its host is cut off. */
class Changes {
  said = "";
  readonly moment: Promise<void>;
  readonly #afterMs: number | undefined;
  #cut: () => void = () => undefined;

  /** `afterMs`: from their beginning; undefined: when they are over. */
  constructor(afterMs: number | undefined) {
    this.#afterMs = afterMs;
    this.moment = new Promise((resolve) => (this.#cut = resolve));
  }

  hear(text: string): void {
    const hasBegun = this.said.includes("begun");
    this.said += text;
    if (this.said.includes("over")) this.#cut();
    else if (!hasBegun && this.said.includes("begun") && this.#afterMs !== undefined)
      setTimeout(this.#cut, this.#afterMs);
  }
}
