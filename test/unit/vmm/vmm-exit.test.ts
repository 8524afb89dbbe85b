/** Why a VMM ended, as whoever waits for it is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { vmmEnded } from "../../../src/vmm/vmm-exit.ts";

const exit = { code: null, signal: null, vmmLog: "first\nthe last word", consoleTail: "" };

test("vmm exit: a launcher that did not get the volume's lock says that another machine has it, not that a VMM failed", () => {
  const { code, message, cause } = vmmEnded({ ...exit, code: 75 });
  assert.deepEqual(
    [code, message, cause],
    ["invalid_state", "another machine has this volume, and runs", "the last word"],
  );
});

test("vmm exit: any other end is the VMM's, but for a want of memory", () => {
  assert.deepEqual([vmmEnded({ ...exit, signal: "SIGKILL" }).code], ["vmm_failed"]);
  assert.equal(vmmEnded({ ...exit, code: 1, outOfMemory: true }).code, "resource_exhausted");
});
