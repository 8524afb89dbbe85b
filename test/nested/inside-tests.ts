/** Tests of a program that runs inside the nested machine, as tests of the suite. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { suiteMachine } from "./suite-machine.ts";
import { TestProgram } from "./verdicts.ts";

export interface InsideTests {
  /** Compiled test file, relative to the checkout. */
  readonly program: string;
  /** All tests that it has. */
  readonly names: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly timeLimitMs: number;
}

export interface InsideTest {
  readonly name: string;
  readonly run: (t: TestContext) => Promise<void>;
}

/**
 * The tests for one driver, a name of PYRO_MACHINE, for a test file to register: a test counts as one of the file that
 * does. The program is started by the first that runs.
 */
export function testsInside(driver: string, { program, names, env = {}, timeLimitMs }: InsideTests): InsideTest[] {
  let running: TestProgram | undefined;
  /** Tests that passed, or said why they cannot run. */
  let well = 0;
  const started = async (): Promise<TestProgram> => {
    const { machine } = await suiteMachine();
    running ??= new TestProgram(machine, program, { env: { ...env, PYRO_MACHINE: driver }, timeLimitMs });
    return running;
  };
  const tests = names.map((name) => ({
    name: `${driver}: ${name}`,
    run: async (t: TestContext): Promise<void> => {
      const verdict = await (await started()).of(name);
      if (verdict.kind !== "failed") well += 1;
      if (verdict.kind === "skipped") return t.skip(verdict.reason);
      assert.equal(verdict.kind, "passed", verdict.reason);
    },
  }));
  const nothingElse = async (): Promise<void> => {
    const ended = await started();
    const had = await ended.names();
    if (well < names.length) process.stdout.write(`[nested] what ${program} on ${driver} said:\n${ended.log()}\n`);
    assert.deepEqual(had.toSorted(), names.toSorted());
  };
  return [...tests, { name: `${driver}: nothing failed beside the cases`, run: nothingElse }];
}
