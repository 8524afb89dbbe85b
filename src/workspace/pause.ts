/** A workspace whose machine stands still, because the host's disk has no room for what it writes. */
import { PyroError } from "../contract/error.ts";
import type { Paused } from "../contract/workspace.ts";
import type { OpenMachine } from "../machine/machine.ts";
import { FULL_DISK_REMEDY } from "./host-disk.ts";

export class Pause {
  #of: { readonly machine: OpenMachine; readonly why: Paused } | undefined;

  /** Why `machine` stands still; undefined: it runs. */
  why(machine: OpenMachine | undefined): Paused | undefined {
    return this.#of?.machine === machine ? this.#of?.why : undefined;
  }

  /** Stops the machine where it is, if it runs. */
  async begin(machine: OpenMachine, freeBytes: number): Promise<void> {
    if (this.why(machine) !== undefined) return;
    const mib = Math.floor(freeBytes / 1024 ** 2);
    const message = `the host's disk has ${mib} MiB free`;
    this.#of = { machine, why: { reason: "host_disk_full", message, at: new Date().toISOString() } };
    await machine.pause();
  }

  /** Lets it go on; false when it ran. */
  async end(machine: OpenMachine): Promise<boolean> {
    if (this.why(machine) === undefined) return false;
    await machine.resume();
    this.#of = undefined;
    return true;
  }

  /** @throws PyroError resource_exhausted while `machine` stands still */
  refuse(machine: OpenMachine | undefined, id: string): void {
    const why = this.why(machine);
    if (machine === undefined || why === undefined) return;
    throw new PyroError("resource_exhausted", `the workspace ${id} is paused (${why.reason}): ${why.message}`, {
      remedy: `${FULL_DISK_REMEDY}; it goes on by itself then`,
    });
  }
}
