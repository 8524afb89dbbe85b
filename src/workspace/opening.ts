/** The machine of a workspace that starts, and what its record then says. */
import { PyroError } from "../contract/error.ts";
import type { Machines, OpenMachine, OpenRequest } from "../machine/machine.ts";
import type { WorkspaceRecord } from "./record.ts";
import type { SnapshotView } from "./snapshots.ts";

/** What a start tells while it lasts, and how it is cancelled. */
export type StartCall = Pick<OpenRequest, "signal" | "onPull" | "onPhase">;

export interface Opening {
  readonly call: StartCall;
  /** For a machine that was asked for by name: no other one will do. */
  readonly insist: boolean;
  /** What the workspace becomes a copy of; undefined: it stays as it is. */
  readonly resetTo: SnapshotView | undefined;
}

/** Opens the machine: of the kind that the workspace ran on last, or of another one where that is gone. */
export async function openWorkspaceMachine(
  machines: Machines,
  record: WorkspaceRecord,
  how: Opening & {
    readonly volumePath: string;
    readonly seedPath: string | undefined;
    readonly onNotice: (notice: string) => void;
  },
): Promise<OpenMachine> {
  const { call, insist, resetTo } = how;
  const isNew = record.state === "creating";
  const { environment_digest: digest } = record;
  const request: OpenRequest = {
    ...call,
    environment: record.environment,
    startedFrom: digest === null ? undefined : { installDir: record.install_dir, digest },
    // A new one takes the environment's own where it was not told otherwise.
    vcpuCount: record.vcpu_count === 0 ? undefined : record.vcpu_count,
    memoryMib: record.mem_mib === 0 ? undefined : record.mem_mib,
    machine: isNew && !insist ? undefined : record.machine,
    requireIsolation: record.require_isolation,
    volume: {
      path: how.volumePath,
      snapshotIds: record.snapshots.map(({ id }) => id),
      resetTo: resetTo?.id,
      seedPath: how.seedPath,
      aloneLimitSeconds: record.ttl_seconds,
    },
  };
  const machine = await openThisOrAnother(machines, request, { ...how, record });
  if (digest !== null && machine.environmentDigest !== digest) {
    how.onNotice(`the root that it has started from is gone: it is started on ${record.environment} as it is now`);
  }
  return machine;
}

/** A machine of the kind that is asked for; one that had a kind which is gone gets another. */
async function openThisOrAnother(
  machines: Machines,
  request: OpenRequest,
  { record, insist, onNotice }: { record: WorkspaceRecord; insist: boolean; onNotice: (notice: string) => void },
): Promise<OpenMachine> {
  try {
    return await machines.open(request);
  } catch (failure) {
    const code = PyroError.is(failure) ? failure.code : undefined;
    const isGone = code === "host_unsupported" || code === "dependency_missing";
    if (record.state === "creating" || insist || !isGone) throw failure;
    onNotice(`${record.machine} is gone: it is started on another machine`);
    return await machines.open({ ...request, machine: undefined });
  }
}

/** What changes in the record when this machine has become the workspace's. */
export function startedOn(
  record: WorkspaceRecord,
  machine: OpenMachine,
  resetTo: SnapshotView | undefined,
): Partial<WorkspaceRecord> {
  const now = new Date().toISOString();
  const opened = machine.volume?.opened.workspaceGeneration;
  const likeSeed = record.state === "creating" || resetTo?.kind === "baseline";
  const before = resetTo === undefined ? record.seed_generation : null;
  const seedGeneration = likeSeed ? (opened ?? null) : before;
  const counts = { command_count: 0, reset_count: record.reset_count + 1, last_reset_at: now };
  return {
    state: "started",
    stopped: null,
    pending_reset: null,
    pins: null,
    machine_id: machine.id,
    machine: machine.machineName,
    environment_version: machine.environmentVersion,
    install_dir: machine.installDir,
    environment_digest: machine.environmentDigest,
    vcpu_count: machine.shape.vcpuCount,
    mem_mib: machine.shape.memoryMib,
    seed_generation: seedGeneration,
    changed: seedGeneration === null || opened !== seedGeneration,
    last_activity_at: now,
    ...(resetTo === undefined ? {} : counts),
  };
}
