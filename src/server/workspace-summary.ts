/** Workspaces as the contract shows them. */
import type * as z from "zod";
import type { MachineName } from "../contract/run.ts";
import type { workspaceReset, workspaceStatus } from "../contract/workspace-operations.ts";
import { type Paused, type SnapshotSummary, WORKSPACE_PATH, type WorkspaceSummary } from "../contract/workspace.ts";
import type { OpenMachine } from "../machine/machine.ts";
import type { WorkspaceRecord } from "../workspace/record.ts";
import type { SnapshotView } from "../workspace/snapshots.ts";
import { NO_VOLUME, type VolumeSize } from "../workspace/volume-size.ts";
import type { Workspace } from "../workspace/workspace.ts";

type ResetSummary = z.infer<typeof workspaceReset.output>["workspace_reset"];

export async function summaryOf(workspace: Workspace): Promise<WorkspaceSummary> {
  await workspace.adopted();
  const { record, machine, runningCommands } = workspace;
  const { paused } = workspace;
  return summary(record, { machine, runningCommands, paused, volume: await workspace.volumeSize() });
}

/** With what its snapshots pin, which is counted for it. */
export async function statusOf(workspace: Workspace): Promise<z.infer<typeof workspaceStatus.output>> {
  const summarized = await summaryOf(workspace);
  const { countedAt, unknown, pins } = await workspace.snapshots.pins();
  const snapshots = pins.map(({ name, bytes }) => ({ snapshot_name: name, bytes_pinned: bytes }));
  return { ...summarized, snapshot_pins: { counted_at: countedAt, unknown, snapshots } };
}

/** One in the trash. */
export function deletedSummary(record: WorkspaceRecord): WorkspaceSummary {
  return summary(record, { machine: undefined, runningCommands: 0, paused: undefined, volume: NO_VOLUME });
}

export function snapshotSummaryOf(workspaceId: string, snapshot: SnapshotView): SnapshotSummary {
  return {
    workspace_id: workspaceId,
    snapshot_name: snapshot.name,
    kind: snapshot.kind,
    created_at: snapshot.createdAt,
    entry_count: snapshot.entryCount,
    bytes_written: snapshot.bytes,
    counted_all: snapshot.countedAll,
    deletable: snapshot.kind === "named",
  };
}

export function resetSummary(source: SnapshotView): ResetSummary {
  return {
    snapshot_name: source.name,
    kind: source.kind,
    destination: WORKSPACE_PATH,
    entry_count: source.entryCount,
    bytes_written: source.bytes,
    counted_all: source.countedAll,
  };
}

function summary(
  record: WorkspaceRecord,
  now: {
    machine: OpenMachine | undefined;
    runningCommands: number;
    paused: Paused | undefined;
    volume: VolumeSize;
  },
): WorkspaceSummary {
  return {
    workspace_id: record.id,
    name: record.name,
    labels: record.labels,
    environment: record.environment,
    environment_version: record.environment_version,
    state: now.machine === undefined ? "stopped" : "started",
    workspace_path: WORKSPACE_PATH,
    directory: record.directory,
    workspace_seed: {
      mode: record.seed?.mode ?? "empty",
      seed_path: record.seed?.path ?? null,
      seed_id: record.seed?.id ?? null,
      entry_count: record.seed?.entry_count ?? 0,
      bytes_written: record.seed?.bytes ?? 0,
      warnings: record.seed?.warnings ?? [],
    },
    machine: record.machine,
    execution_mode: executionModeOf(record.machine),
    vm_id: now.machine?.id ?? null,
    isolation: now.machine?.isolation ?? null,
    confinement: now.machine?.confinement ?? null,
    vcpu_count: record.vcpu_count,
    mem_mib: record.mem_mib,
    ttl_seconds: record.ttl_seconds,
    created_at: record.created_at,
    last_activity_at: record.last_activity_at,
    command_count: record.command_count,
    running_commands: now.runningCommands,
    snapshot_count: record.snapshots.length,
    reset_count: record.reset_count,
    last_reset_at: record.last_reset_at,
    changed: record.changed,
    pending_reset: record.pending_reset,
    stopped: record.stopped,
    paused: now.paused ?? null,
    volume_bytes: now.volume.sizeBytes,
    disk_bytes: now.volume.diskBytes,
    deleted_at: record.deleted_at,
  };
}

/** Firecracker has vsock, QEMU virtio-serial. */
const executionModeOf = (machine: MachineName): WorkspaceSummary["execution_mode"] =>
  machine === "firecracker" ? "guest_vsock" : "guest_serial";
