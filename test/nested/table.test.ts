/** The table of cases on every driver that needs a KVM that works: each runs in the nested machine, in one process. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLIENT_CASES } from "../support/client-cases.ts";
import { GUEST_CASES } from "../support/guest-cases.ts";
import { suiteMachine } from "./suite-machine.ts";
import { TestProgram } from "./verdicts.ts";

/** By the names of PYRO_MACHINE. */
const DRIVERS = ["firecracker", "qemu-kvm"];
const NAMES = [...GUEST_CASES, ...CLIENT_CASES].map(({ name }) => name);
const PROGRAM = ".build/test/nested/inside/table.js";
const TIME_LIMIT_MS = 420_000;

for (const driver of DRIVERS) {
  let running: TestProgram | undefined;
  let failed = false;
  const program = async (): Promise<TestProgram> => {
    const { machine } = await suiteMachine();
    running ??= new TestProgram(machine, PROGRAM, { env: { PYRO_MACHINE: driver }, timeLimitMs: TIME_LIMIT_MS });
    return running;
  };
  for (const name of NAMES) {
    test(`${driver}: ${name}`, async (t) => {
      const verdict = await (await program()).of(name);
      failed ||= verdict.kind === "failed";
      if (verdict.kind === "skipped") return t.skip(verdict.reason);
      assert.equal(verdict.kind, "passed", verdict.reason);
    });
  }
  test(`${driver}: nothing failed beside the cases`, async () => {
    const ended = await program();
    const names = await ended.names();
    if (failed) process.stdout.write(`[nested] what the test program on ${driver} said:\n${ended.log()}\n`);
    assert.deepEqual(names.toSorted(), NAMES.toSorted());
  });
}
