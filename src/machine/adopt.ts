/** A machine that a server before this one has started, and that went on without it. */
import type { RunningMachine } from "../vmm/driver.ts";
import type { LeftMachine } from "../vmm/adopt.ts";
import { type HostPaths, machineRuntimeDirectory } from "../host/paths.ts";
import { isAlive, type ProcessIdentity } from "../host/process-identity.ts";
import { Scope } from "../host/scope.ts";
import { explainLoss } from "../vmm/vmm-exit.ts";
import type { MachineDescription } from "./machine.ts";
import { type MachineRecord, readMachineRecord, removeMachineDirectory, vmmDirectoryOf } from "./machine-directory.ts";
import type { ConfiguredMachine } from "./start.ts";

/** QEMU comes back within a second; the rest is for a guest on a loaded host. */
const LINK_DEADLINE_MS = 60_000;

/**
 * Takes over the machine. One whose guest does not answer is ended.
 * @returns undefined when it is gone
 * @throws PyroError guest_unreachable, vmm_failed
 */
export async function adoptStarted(
  paths: HostPaths,
  id: string,
  takeOver: (left: LeftMachine) => Promise<RunningMachine>,
): Promise<{ started: ConfiguredMachine; description: MachineDescription } | undefined> {
  const record = await readMachineRecord(machineRuntimeDirectory(paths, id));
  if (record?.kept === undefined || record.process === undefined || !isAlive(record.process)) {
    removeMachineDirectory(paths, id);
    return undefined;
  }
  const scope = new Scope();
  scope.defer(() => removeMachineDirectory(paths, id));
  const vmm = await takeOver(leftMachine(paths, id, record.process, record.kept));
  scope.defer(() => vmm.kill());
  try {
    // A server that found no room on the disk may have paused it, and ended since.
    await vmm.resume();
    const { openGuestLink, startExec, keptExec, guestVolume, leftCommands, stateOfVolume } =
      await import("./guest-side.ts");
    const link = await openGuestLink(await vmm.connect("control", LINK_DEADLINE_MS), LINK_DEADLINE_MS);
    scope.defer(() => link.close());
    const volume = guestVolume(link, vmm, await stateOfVolume(link));
    const exec: ConfiguredMachine["exec"] = (request) => startExec(link, request);
    const kept: ConfiguredMachine["kept"] = (execId) => keptExec(link.agent, execId);
    const commands: ConfiguredMachine["commands"] = async () => await leftCommands(link.agent);
    return {
      started: { id, vmm, link, volume, scope, exec, kept, commands },
      description: descriptionOf(record, record.kept),
    };
  } catch (failure) {
    const explained = await explainLoss(vmm, failure);
    await scope.close();
    throw explained;
  }
}

type Kept = NonNullable<MachineRecord["kept"]>;

const leftMachine = (paths: HostPaths, id: string, process: ProcessIdentity, kept: Kept): LeftMachine => ({
  kind: kept.machine === "firecracker" ? "firecracker" : "qemu",
  directory: vmmDirectoryOf(paths, id),
  volumePath: kept.volume_path,
  process,
});

const descriptionOf = ({ environment, install_dir: installDir }: MachineRecord, kept: Kept): MachineDescription => ({
  machineName: kept.machine,
  installDir,
  environment,
  environmentVersion: kept.environment_version,
  environmentDigest: kept.environment_digest,
  shape: { vcpuCount: kept.vcpu_count, memoryMib: kept.mem_mib },
  executionMode: kept.execution_mode,
  isolation: kept.isolation,
  confinement: kept.confinement,
});
