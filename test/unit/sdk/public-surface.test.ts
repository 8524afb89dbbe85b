import assert from "node:assert/strict";
import { test } from "node:test";
import * as surface from "../../../src/index.ts";
import { operations } from "../../../src/contract/operations.ts";
import { FakeHost } from "../../support/fake-host.ts";

test("what the package exports is what was decided", () => {
  assert.deepEqual(Object.keys(surface).toSorted(), ["ERROR_CODES", "Machine", "Pyro", "PyroError"]);
});

test("the SDK has a method for every operation of the table that a front end shows", async () => {
  await using host = new FakeHost();
  using pyro = host.pyro();
  for (const noun of ["env", "server"] as const)
    assert.deepEqual(Object.keys(pyro[noun]), Object.keys(operations[noun]));
  assert.equal(typeof pyro.run, "function");
  assert.equal(typeof pyro.doctor, "function");
});
