/** One nested machine for all that a process does with it: booted when it is first asked for, gone with the process. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pinnedFirecracker } from "../support/pinned-firecracker.ts";
import { hostDirectories } from "./places.ts";
import { ensureImage } from "./image.ts";
import { NestedMachine, type NestedMachineOptions } from "./nested-machine.ts";
import { buildPayload } from "./payload.ts";

export interface SharedMachine {
  /** The machine that runs. */
  machine: NestedMachine;
  /** Cuts its power and boots it again on the same disk. */
  cutAndBoot(): Promise<NestedMachine>;
  /** Ends it and removes its disk. */
  close(): Promise<void>;
}

/** Prepares what is not there yet and boots; `onProgress` gets a line for each step with what it took. */
export async function bootSharedMachine(onProgress: (line: string) => void): Promise<SharedMachine> {
  const timed = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    const begin = performance.now();
    const value = await work();
    onProgress(`${what}: ${((performance.now() - begin) / 1000).toFixed(1)} s`);
    return value;
  };
  const firecracker = await timed("Firecracker", pinnedFirecracker);
  const payloadPath = await timed("payload", async () => await buildPayload(firecracker));
  const image = await timed("image", async () => await ensureImage(onProgress));
  mkdirSync(hostDirectories.runtime, { recursive: true, mode: 0o700 });
  const directory = mkdtempSync(join(hostDirectories.runtime, "nested-"));
  const options: NestedMachineOptions = { image, payloadPath, diskPath: join(directory, "disk.raw"), directory };
  const boot = async (): Promise<NestedMachine> => await timed("boot", async () => await NestedMachine.boot(options));
  try {
    const shared: SharedMachine = {
      machine: await boot(),
      cutAndBoot: async () => {
        await shared.machine.cut();
        shared.machine = await boot();
        return shared.machine;
      },
      close: async () => {
        await shared.machine.cut();
        rmSync(directory, { recursive: true, force: true });
      },
    };
    return shared;
  } catch (failure) {
    rmSync(directory, { recursive: true, force: true });
    throw failure;
  }
}
