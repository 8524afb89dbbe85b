/** Workspaces, as a person reads them. */
import type { LoggedCommand, SnapshotPins, SnapshotSummary, WorkspaceSummary } from "../../contract/workspace.ts";
import type { WorkspacePulled } from "../../contract/workspace-operations.ts";
import { printable } from "../printable.ts";
import { bytesText } from "./units.ts";

const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join("");

/** What `workspace create` and `start` print. */
export function workspaceBlock(workspace: WorkspaceSummary): string {
  return lines(facts(workspace));
}

/** What `workspace status` prints. */
export function workspaceStatus(workspace: WorkspaceSummary & { readonly snapshot_pins?: SnapshotPins }): string {
  const { stopped, paused, pending_reset: pendingReset } = workspace;
  return lines([
    ...facts(workspace),
    ...seedFacts(workspace),
    `Reset count: ${workspace.reset_count}`,
    `Snapshots: ${workspace.snapshot_count}`,
    ...pinFacts(workspace),
    `Running commands: ${workspace.running_commands}`,
    `Changed: ${workspace.changed ? "yes" : "no"}`,
    `Volume: ${bytesText(workspace.volume_bytes)}`,
    `Disk: ${bytesText(workspace.disk_bytes)}`,
    `Machine: ${workspace.machine}`,
    ...(workspace.directory === null ? [] : [`Directory: ${printable(workspace.directory)}`]),
    `Stops when idle for: ${workspace.ttl_seconds} s`,
    `Last activity: ${workspace.last_activity_at}`,
    ...(stopped === null ? [] : [`Stopped: ${stopped.reason}: ${printable(stopped.message)}`]),
    ...(paused === null ? [] : [`Paused: ${paused.reason}: ${printable(paused.message)}`]),
    ...(pendingReset === null ? [] : [`Pending reset: ${printable(pendingReset)}`]),
  ]);
}

/** What `workspace pull` prints. */
export function workspacePulled(pulled: WorkspacePulled): string {
  const { workspace_id: id, branch, commit, change, new_commits: count, made_commit: made } = pulled;
  return lines([
    `[workspace-pull] workspace_id=${id} branch=${printable(branch)} commit=${commit} change=${change} new_commits=${count} made_commit=${made}`,
  ]);
}

function facts(workspace: WorkspaceSummary): string[] {
  const { name, labels } = workspace;
  const labelTexts = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return [
    `Workspace ID: ${workspace.workspace_id}`,
    ...(name === null ? [] : [`Name: ${printable(name)}`]),
    ...(labelTexts.length === 0 ? [] : [`Labels: ${printable(labelTexts.join(", "))}`]),
    `Environment: ${printable(workspace.environment)}`,
    `State: ${workspace.state}`,
    `Workspace: ${workspace.workspace_path}`,
    `Workspace seed: ${seedText(workspace.workspace_seed)}`,
    `Execution mode: ${workspace.execution_mode}`,
    `Resources: ${workspace.vcpu_count} vCPU / ${workspace.mem_mib} MiB`,
    `Command count: ${workspace.command_count}`,
  ];
}

/** What would be free if only this snapshot was deleted. */
function pinFacts({ state, snapshot_pins: pins }: { state: string; snapshot_pins?: SnapshotPins }): string[] {
  const when = state === "stopped" ? " when it was stopped" : "";
  return (pins?.snapshots ?? []).map(({ snapshot_name: name, bytes_pinned: bytes }) => {
    const pinned = bytes === null ? "unknown" : `${bytesText(bytes)}${when}`;
    const why = bytes === null && typeof pins?.unknown === "string" ? ` (${printable(pins.unknown)})` : "";
    return `Pinned by ${printable(name)}: ${pinned}${why}`;
  });
}

/** `directory from PATH`, or `empty`. */
function seedText({ mode, seed_path: path }: WorkspaceSummary["workspace_seed"]): string {
  return path === null ? mode : `${mode} from ${printable(path)}`;
}

/** What of the seed a status says: how much it was, and whether it is shared. */
function seedFacts({ workspace_seed: seed }: WorkspaceSummary): string[] {
  if (seed.mode === "empty") return [];
  const place = seed.seed_id === null ? "in the volume" : `shared as ${seed.seed_id}`;
  return [
    `Seed: entry_count=${seed.entry_count} bytes_written=${seed.bytes_written}, ${place}`,
    ...seed.warnings.map((warning) => `Seed warning: ${printable(warning)}`),
  ];
}

export function workspaceList(result: {
  workspaces: readonly WorkspaceSummary[];
  unreadable: readonly string[];
}): string {
  return lines([
    ...result.workspaces.map((each) =>
      [
        each.workspace_id,
        `[${each.state}]`,
        ...(each.name === null ? [] : [`name=${printable(each.name)}`]),
        `environment=${printable(each.environment)}`,
        `commands=${each.command_count}`,
        `snapshots=${each.snapshot_count}`,
        `last_activity=${each.last_activity_at}`,
        ...(each.deleted_at === null ? [] : [`deleted=${each.deleted_at}`]),
      ].join(" "),
    ),
    ...result.unreadable.map((id) => `${id} [unreadable]`),
  ]);
}

/** `entry_count=… bytes_written=…`; a plus says that there is more than was counted. */
export function treeFacts(tree: { entry_count: number; bytes_written: number; counted_all: boolean }): string {
  const more = tree.counted_all ? "" : "+";
  return `entry_count=${tree.entry_count}${more} bytes_written=${tree.bytes_written}${more}`;
}

export function snapshotCreated({ snapshot }: { snapshot: SnapshotSummary }): string {
  const { snapshot_name: name, kind } = snapshot;
  return `[workspace-snapshot-create] snapshot_name=${printable(name)} kind=${kind} ${treeFacts(snapshot)}\n`;
}

export function snapshotList({ snapshots }: { snapshots: readonly SnapshotSummary[] }): string {
  return lines(
    snapshots.map((each) => {
      const deletable = each.deletable ? "yes" : "no";
      return `${printable(each.snapshot_name)} [${each.kind}] ${treeFacts(each)} deletable=${deletable}`;
    }),
  );
}

export type ResetResult = WorkspaceSummary & {
  readonly workspace_reset: {
    readonly snapshot_name: string;
    readonly kind: string;
    readonly destination: string;
    readonly entry_count: number;
    readonly bytes_written: number;
    readonly counted_all: boolean;
  };
};

export function workspaceReset(result: ResetResult): string {
  const { workspace_reset: reset } = result;
  return lines([
    `Workspace reset from snapshot: ${printable(reset.snapshot_name)} (${reset.kind})`,
    `[workspace-reset] destination=${reset.destination} ${treeFacts(reset)}`,
    `Workspace ID: ${result.workspace_id}`,
    `State: ${result.state}`,
    `Command count: ${result.command_count}`,
    `Reset count: ${result.reset_count}`,
  ]);
}

/** One logged command's head; its output follows as it was. */
export function commandHead(entry: LoggedCommand): string {
  const { sequence, exit_code: exitCode, duration_ms: durationMs, cwd, interrupted } = entry;
  const why = interrupted === undefined ? "" : ` interrupted=${JSON.stringify(printable(interrupted))}`;
  return lines([
    `#${sequence} exit_code=${exitCode} duration_ms=${Math.round(durationMs)} cwd=${printable(cwd)}${why}`,
    `$ ${printable(entry.command)}`,
  ]);
}
