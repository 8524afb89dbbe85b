/** The machine in which a test file runs the table of cases. */
import { after, before } from "node:test";
import type { Machine } from "../../src/sdk/machine.ts";
import type { Pyro } from "../../src/sdk/pyro.ts";
import { client } from "./guest-host.ts";

/** Opens one before the file's tests and closes it after them; `memoryMib`: its memory, when not the environment's own. */
export function machineForCases({ memoryMib }: { memoryMib?: number } = {}): { pyro: Pyro; machine: () => Machine } {
  let machine: Machine | undefined;
  // Before the client's own end, which stops the server.
  after(async () => await machine?.close());
  const pyro = client();
  before(async () => {
    const memory = memoryMib === undefined ? {} : { mem_mib: memoryMib };
    machine = await pyro.machine({ environment: "debian:12", ...memory });
  });
  const opened = (): Machine => {
    if (machine === undefined) throw new Error("the machine was not opened");
    return machine;
  };
  return { pyro, machine: opened };
}
