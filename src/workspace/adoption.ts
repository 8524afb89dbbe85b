/** What a server finds of a workspace that was started when the server before it ended. */
import { PyroError } from "../contract/error.ts";
import type { StopReason } from "../contract/workspace.ts";
import type { Machines, OpenMachine } from "../machine/machine.ts";
import type { CalledCommand } from "./called-commands.ts";
import type { WorkspaceRecord } from "./record.ts";

type Found =
  | { readonly machine: OpenMachine }
  | { readonly machine: undefined; readonly ended: Partial<WorkspaceRecord> };

/** The workspace's machine, or what its record says without. */
export async function findMachine(machines: Machines, { machine_id: id }: WorkspaceRecord): Promise<Found> {
  try {
    const machine = id === null ? undefined : await machines.adopt(id);
    if (machine !== undefined) return { machine };
    return { machine, ended: ended("server_ended", "its machine ended with the server that had it, or after it") };
  } catch (failure) {
    const { message } = PyroError.from(failure);
    return { machine: undefined, ended: ended("vmm_failed", `its machine did not answer the next server: ${message}`) };
  }
}

/** Commands may have run since the record was written. */
const ended = (reason: StopReason, message: string): Partial<WorkspaceRecord> => ({
  state: "stopped",
  machine_id: null,
  stopped: { reason, message, at: new Date().toISOString() },
  changed: true,
  pins: null,
});

/** The last command's number, which may not have come to the disk with the record. */
export function lastNumber(record: WorkspaceRecord, called: ReadonlyMap<string, CalledCommand>): number {
  return Math.max(record.command_count, ...[...called.values()].map(({ sequence }) => sequence));
}

/** How long a workspace may go on being idle: the time without a server counts. */
export function idleSecondsLeft({ last_activity_at: lastActivity, ttl_seconds: ttl }: WorkspaceRecord): number {
  const idleSeconds = (Date.now() - Date.parse(lastActivity)) / 1000;
  return Math.min(ttl, Math.max(0, ttl - idleSeconds));
}
