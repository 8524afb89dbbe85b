/** Machines from one template are different machines. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { client } from "../support/guest-host.ts";

const CLONES = 100;
/** Restored at once: two cores emulate no more in reasonable time. */
const AT_ONCE = 4;

const pyro = client();

/** What a clone would share with its siblings if the duties of a restore were not done. */
const IDENTITY =
  "od -An -tx1 -N32 /dev/urandom | tr -d ' \\n'; echo; cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id /etc/machine-id; hostname";

async function identityOfClone(): Promise<string[]> {
  const result = await pyro.run({ environment: "debian:12", command: IDENTITY, mem_mib: 256, timeout_seconds: 120 });
  assert.equal(result.exit_code, 0, result.stderr);
  const lines = result.stdout.trim().split("\n");
  assert.equal(lines.length, 5, result.stdout);
  return lines;
}

test(`clones: ${CLONES} machines from one template share no random number, id or name`, async () => {
  const identities: string[][] = [];
  let started = 0;
  const worker = async (): Promise<void> => {
    while (started < CLONES) {
      started += 1;
      identities.push(await identityOfClone());
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  for (const [index, what] of ["random bytes", "uuid", "boot id", "machine id", "hostname"].entries()) {
    assert.equal(new Set(identities.map((lines) => lines[index])).size, CLONES, `${what} repeats`);
  }
});
