/**
 * The directory of one machine: its sockets and its record. It lies in the runtime directory, for a machine does
 * not outlive the host's uptime either. What every start and end does there is done at once: that takes microseconds, and a way over
 * the threads that Node does it on otherwise, of which a start had forty-five, twenty times as long.
 */
import { randomBytes } from "node:crypto";
import { closeSync, ftruncateSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { open, readdir, readFile, readlink, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { PyroError } from "../contract/error.ts";
import { confinement, executionMode, isolation, MACHINE_NAMES } from "../contract/run.ts";
import { type HostPaths, machineRuntimeDirectory, makePrivateDirectory } from "../host/paths.ts";
import { isErrno } from "../host/files.ts";
import { emptySeedPath } from "./bootable.ts";
import type { MachineDescription } from "./machine.ts";
import { identifyProcess, isAlive, type ProcessIdentity } from "../host/process-identity.ts";

/** Size of the volume's slot, and of every new volume. The file is sparse: it takes the blocks that a guest has written. */
export const VOLUME_BYTES = 64 * 1024 ** 3;

/** Size of the seed's slot. A restored machine keeps the size its drives had in the template, so every seed has this one. */
const SEED_SLOT_BYTES = 64 * 1024 ** 3;

const EMPTY_SEED_MODE = 0o644;

const RECORD_NAME = "machine.json";

const machineRecord = z.object({
  version: z.literal(1),
  id: z.string(),
  environment: z.string(),
  /** Directory of the environment that the machine's drives lie in. */
  install_dir: z.string(),
  created_at: z.string(),
  /** What the next server needs to take over a machine that keeps something; absent: it goes with its server. */
  kept: z
    .object({
      /** Of the server whose workspace it is. */
      state_directory: z.string(),
      volume_path: z.string(),
      machine: z.enum(MACHINE_NAMES),
      environment_version: z.string(),
      environment_digest: z.string().default(""),
      vcpu_count: z.int(),
      mem_mib: z.int(),
      execution_mode: executionMode,
      isolation,
      confinement,
    })
    .optional(),
  /** Absent until the VMM was started. */
  process: z.object({ pid: z.int(), startTicks: z.int(), bootId: z.string() }).optional(),
});
export type MachineRecord = z.infer<typeof machineRecord>;

/** What a record keeps of a machine for the next server. */
export function keptRecord(
  { state }: HostPaths,
  volumePath: string,
  {
    machineName,
    environmentVersion,
    environmentDigest,
    shape,
    executionMode: mode,
    isolation: how,
    confinement: level,
  }: MachineDescription,
): MachineRecord["kept"] {
  return {
    state_directory: state,
    volume_path: volumePath,
    machine: machineName,
    environment_version: environmentVersion,
    environment_digest: environmentDigest,
    vcpu_count: shape.vcpuCount,
    mem_mib: shape.memoryMib,
    execution_mode: mode,
    isolation: how,
    confinement: level,
  };
}

/** The VMM's directory of a machine. */
export const vmmDirectoryOf = (paths: HostPaths, id: string): string =>
  join(machineRuntimeDirectory(paths, id), VMM_DIRECTORY_NAME);

export function newMachineId(): string {
  return randomBytes(6).toString("hex");
}

/** What the VMM may write to besides its drives: the record and the log, which the server believes, lie outside. */
const VMM_DIRECTORY_NAME = "vmm";

/** Makes the directory, and in it one for the VMM. */
export function createMachineDirectory(paths: HostPaths, id: string): { directory: string; vmmDirectory: string } {
  const directory = machineRuntimeDirectory(paths, id);
  const vmmDirectory = join(directory, VMM_DIRECTORY_NAME);
  mkdirSync(vmmDirectory, { recursive: true, mode: 0o700 });
  return { directory, vmmDirectory };
}

/** Makes the volume of a machine that keeps nothing: empty, sparse, gone with the machine's directory. */
export function createPlaceholderVolume(directory: string): string {
  const volumePath = join(directory, "volume.raw");
  const volume = openSync(volumePath, "wx", 0o600);
  try {
    ftruncateSync(volume, VOLUME_BYTES);
  } finally {
    closeSync(volume);
  }
  return volumePath;
}

/** Makes the seed drive of machines without a seed: empty, sparse, shared by all of them. */
export async function ensureEmptySeed(paths: HostPaths): Promise<void> {
  const seed = await open(emptySeedPath(makePrivateDirectory(paths.cache)), "a", EMPTY_SEED_MODE);
  try {
    await seed.truncate(SEED_SLOT_BYTES);
    // Machines of root run as users of their own; there is nothing in it to hide.
    await seed.chmod(EMPTY_SEED_MODE);
  } finally {
    await seed.close();
  }
}

/** Replaces the machine's record; a reader sees the old or the new one. */
export function writeMachineRecord(directory: string, record: MachineRecord): void {
  const path = join(directory, RECORD_NAME);
  writeFileSync(`${path}.tmp`, JSON.stringify(record, null, 2), { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}

export function removeMachineDirectory(paths: HostPaths, id: string): void {
  rmSync(machineRuntimeDirectory(paths, id), { recursive: true, force: true });
}

export interface Leftovers {
  /** Ids of machines that a workspace claims: those that live are left alone. */
  readonly claimed: ReadonlySet<string>;
  /** Ends a VMM's monitor and waits until both are gone: nobody else may write to its volume before. */
  readonly end: (monitor: ProcessIdentity) => Promise<void>;
  readonly onNotice: (notice: string) => void;
}

/**
 * Ends what an earlier server of this user left and nobody claims: its machines' VMMs and their directories. One that cannot
 * be removed is said and left: it hurts no other machine.
 * @returns ids of the machines that were ended or cleaned
 */
export async function endLeftoverMachines(paths: HostPaths, leftovers: Leftovers): Promise<string[]> {
  const parent = machineRuntimeDirectory(paths, "");
  const ids = await readdir(parent).catch((failure: unknown) => {
    if (isErrno(failure, "ENOENT")) return [];
    throw new PyroError("permission_denied", `cannot read ${parent}`, { cause: failure });
  });
  const ended: string[] = [];
  await Promise.all(
    ids.map(async (id) => {
      try {
        if (await endLeftoverMachine(paths, id, leftovers)) ended.push(id);
      } catch (failure) {
        const why = PyroError.from(failure).message;
        leftovers.onNotice(`machine ${id} of an earlier server cannot be removed: ${why}`);
      }
    }),
  );
  return ended;
}

/** Whether it was ended. */
async function endLeftoverMachine(paths: HostPaths, id: string, { claimed, end }: Leftovers): Promise<boolean> {
  const directory = machineRuntimeDirectory(paths, id);
  const record = await readMachineRecord(directory);
  const lives = record?.kept !== undefined && record.process !== undefined && isAlive(record.process);
  // A workspace of another state directory's is not known here: its own server will want the machine, or it ends by itself.
  if (lives && (claimed.has(id) || record.kept?.state_directory !== paths.state)) return false;
  // Without a process in its record the machine was being started: its VMM is known by where it writes.
  const processes = record?.process === undefined ? await writersIn(directory) : [record.process];
  for (const leftover of processes) if (isAlive(leftover)) await end(leftover);
  removeMachineDirectory(paths, id);
  return true;
}

/** The record, or undefined when there is none or it cannot be read: one bad record never hurts another machine. */
export async function readMachineRecord(directory: string): Promise<MachineRecord | undefined> {
  try {
    return machineRecord.parse(JSON.parse(await readFile(join(directory, RECORD_NAME), "utf8")));
  } catch {
    return undefined;
  }
}

/**
 * Processes whose standard output is a file in `directory`: a VMM's is its log. Where a process stands says less: the
 * user's shell may stand there too.
 */
async function writersIn(directory: string): Promise<ProcessIdentity[]> {
  const real = await realpath(directory);
  const pids = (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name));
  const found: ProcessIdentity[] = [];
  for (const pid of pids) {
    const output = await readlink(`/proc/${pid}/fd/1`).catch(() => "");
    const identity = dirname(output) === real ? identifyProcess(Number(pid)) : undefined;
    if (identity !== undefined) found.push(identity);
  }
  return found;
}
