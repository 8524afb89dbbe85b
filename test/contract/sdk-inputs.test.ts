/** The written-out inputs of the SDK say what the contract says. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type * as z from "zod";
import { operations, type Operations } from "../../src/contract/operations.ts";
import type { CommandInput, MachineInput, RunInput } from "../../src/sdk/inputs.ts";
import type { InputOf } from "../../src/sdk/operation-types.ts";

/** Compiles only when both have the same fields; that the values fit is what the SDK's methods are checked for. */
type SameFields<Written, Derived> = [
  Exclude<keyof Written, keyof Derived>,
  Exclude<keyof Derived, keyof Written>,
  Derived extends Written ? "fits" : never,
] extends [never, never, "fits"]
  ? true
  : never;

const written: [
  SameFields<RunInput, InputOf<Operations["run"]>>,
  SameFields<MachineInput, InputOf<Operations["machine"]["open"]>>,
  SameFields<CommandInput, Omit<InputOf<Operations["machine"]["exec"]>, "vm_id" | "command">>,
] = [true, true, true];

test("every field is written out, in the contract's words", () => {
  assert.equal(written.length, 3);
  const source = readFileSync("src/sdk/inputs.ts", "utf8");
  const said = [...source.matchAll(/\/\*\* (.+) \*\/\n {2}readonly (\w+)/g)].map(([, words = "", name = ""]) => [
    name,
    words,
  ]);
  const shape: Readonly<Record<string, z.ZodType>> = operations.run.input.shape;
  const promised = Object.keys(shape).filter((name) => !operations.run.plumbing?.includes(name));
  assert.deepEqual(
    Object.fromEntries(said) as unknown,
    Object.fromEntries(promised.map((name) => [name, shape[name]?.description])),
  );
});
