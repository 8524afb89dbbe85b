/** A machine that is asked for by name is that one, or none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { MACHINE_NAMES } from "../../src/contract/run.ts";
import { client, machineDirectories } from "../support/guest-host.ts";

const sdk = client();
const WORDS = { environment: "debian:12", command: ["true"] };

/** What a result says of each machine. */
const SHOWN = {
  firecracker: ["guest_vsock", "hardware"],
  "qemu-kvm": ["guest_serial", "hardware"],
  "qemu-tcg": ["guest_serial", "emulated"],
} as const;

test("a machine that is asked for is taken, or refused with the reason, and never another one", async () => {
  await sdk.env.pull({ environment: WORDS.environment });
  const { machine: best } = await sdk.doctor();
  const outcomes = new Map<string, string>();
  for (const machine of MACHINE_NAMES) {
    try {
      const { execution_mode, isolation } = await sdk.run({ ...WORDS, machine });
      assert.deepEqual([execution_mode, isolation], SHOWN[machine]);
      outcomes.set(machine, "ran");
    } catch (failure) {
      assert.ok(PyroError.is(failure), String(failure));
      assert.equal(failure.code, "host_unsupported", failure.message);
      assert.match(failure.message, new RegExp(`^machine ${machine} cannot run here: `));
      assert.ok(failure.remedy);
      outcomes.set(machine, "refused");
    }
  }
  // Doctor says the same: the best that works is the first that ran.
  assert.equal(
    MACHINE_NAMES.find((name) => outcomes.get(name) === "ran"),
    best?.name,
  );
  assert.equal(outcomes.get("qemu-tcg"), "ran");
});

test("a refused machine leaves nothing", async () => {
  // A machine kept ready for the next call would be there by right.
  await sdk.server.stop({ force: true });
  await assert.rejects(sdk.run({ ...WORDS, machine: "qemu-tcg", require_isolation: "hardware" }), {
    code: "host_unsupported",
  });
  assert.deepEqual(machineDirectories(), []);
});
