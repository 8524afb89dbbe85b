/** The table of cases on the host's own machine: QEMU, with KVM where it works, otherwise emulated. */
import { after, before, test } from "node:test";
import type { Machine } from "../../src/sdk/machine.ts";
import { GUEST_CASES } from "../support/guest-cases.ts";
import { client } from "../support/guest-host.ts";

let machine: Machine;

// Before the client's own end, which stops the server.
after(async () => await machine.close());
const pyro = client();

before(async () => {
  machine = await pyro.machine({ environment: "debian:12" });
});

for (const { name, run } of GUEST_CASES) {
  test(`guest: ${name}`, async () => await run(machine));
}
