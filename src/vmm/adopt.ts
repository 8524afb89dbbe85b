/** Taking over a machine that runs: started by a server that is gone. */
import type { ProcessIdentity } from "../host/process-identity.ts";
import type { RunningMachine, VmmKind } from "./driver.ts";
import { FirecrackerMachine } from "./firecracker/machine.ts";
import { QemuMachine } from "./qemu/machine.ts";

/** A machine as its record has it. */
export interface LeftMachine {
  readonly kind: VmmKind;
  /** The VMM's own directory. */
  readonly directory: string;
  readonly volumePath: string;
  /** Its monitor, which is alive. */
  readonly process: ProcessIdentity;
}

/**
 * Takes it over; from then on it is as one that this server has started, except that nobody sees how its VMM ends.
 * @param launcher absolute path of pyro-launch
 */
export async function adoptMachine(
  launcher: string,
  { kind, directory, volumePath, process }: LeftMachine,
): Promise<RunningMachine> {
  const drives = [{ slot: "volume", path: volumePath, readOnly: false }] as const;
  const place = { directory, drives };
  return kind === "qemu"
    ? await QemuMachine.adopt(launcher, place, process)
    : FirecrackerMachine.adopt(launcher, place, process);
}
