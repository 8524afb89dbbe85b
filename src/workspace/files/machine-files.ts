/** The files of a machine that runs. */
import { PyroError } from "../../contract/error.ts";
import type { MachineFiles } from "../../machine/guest-files.ts";
import type { OpenMachine } from "../../machine/machine.ts";

/** What is done with a machine's files. */
export type FileWork<T> = (files: MachineFiles, machine: OpenMachine) => Promise<T>;

/** Does it. @throws PyroError internal for a machine that keeps nothing; what `work` throws */
export async function withFiles<T>(machine: OpenMachine, work: FileWork<T>): Promise<T> {
  const { volume } = machine;
  if (volume === undefined) throw new PyroError("internal", "a workspace's machine without a volume");
  return await work(volume.files, machine);
}
