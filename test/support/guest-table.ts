/** Registers the table of end-to-end cases with node:test, for the machine that this host has or PYRO_MACHINE names. */
import { after, before, test } from "node:test";
import type { Machine } from "../../src/sdk/machine.ts";
import { GUEST_CASES } from "./guest-cases.ts";
import { client } from "./guest-host.ts";

const ENVIRONMENT = "debian:12";

/** All cases in one machine; `memoryMib`: its memory, when not the environment's own. */
export function registerGuestTable({ memoryMib }: { memoryMib?: number } = {}): void {
  let machine: Machine;
  // Before the client's own end, which stops the server.
  after(async () => await machine.close());
  const pyro = client();
  before(async () => {
    machine = await pyro.machine({
      environment: ENVIRONMENT,
      ...(memoryMib === undefined ? {} : { mem_mib: memoryMib }),
    });
  });
  for (const { name, run } of GUEST_CASES) {
    test(`guest: ${name}`, async () => await run(machine));
  }
}
