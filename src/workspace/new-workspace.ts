/** What a workspace is to be when it is made, and what of it can be changed later. */
import type { MachineName } from "../contract/run.ts";
import type { StartCall } from "./opening.ts";
import { newWorkspaceId, type WorkspaceRecord, type WorkspaceSeed } from "./record.ts";
import type { SeedProgress } from "./seeds/seed-making.ts";

export interface NewWorkspace {
  readonly environment: string;
  readonly name: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly ttlSeconds: number;
  /** On this host, that it is made from; undefined: none. */
  readonly directory?: string | undefined;
  readonly vcpuCount: number | undefined;
  readonly memoryMib: number | undefined;
  /** Undefined: the best that works. */
  readonly machine: MachineName | undefined;
  readonly requireIsolation: "any" | "hardware";
  /** Absolute path of what it begins with; undefined: nothing. */
  readonly seedPath: string | undefined;
  /** Without what git ignores in it. */
  readonly seedIgnore: boolean;
}

/** What is not there stays as it is. */
export interface WorkspaceChange {
  /** Null: none. */
  readonly name?: string | null;
  /** Null: without. */
  readonly labels: Readonly<Record<string, string | null>>;
  readonly ttlSeconds?: number | undefined;
  readonly volumeBytes?: number | undefined;
}

/** What a creation tells while it lasts, and how it is cancelled. */
export interface CreateCall extends StartCall {
  readonly onSeed: (progress: SeedProgress) => void;
}

/** The record of one that begins. */
export function newRecord(wanted: NewWorkspace, seed: WorkspaceSeed | null): WorkspaceRecord {
  const now = new Date().toISOString();
  return {
    version: 1,
    id: newWorkspaceId(),
    name: wanted.name ?? null,
    labels: { ...wanted.labels },
    environment: wanted.environment,
    environment_version: "",
    install_dir: "",
    environment_digest: null,
    machine: wanted.machine ?? "qemu-tcg",
    require_isolation: wanted.requireIsolation,
    vcpu_count: wanted.vcpuCount ?? 0,
    mem_mib: wanted.memoryMib ?? 0,
    ttl_seconds: wanted.ttlSeconds,
    created_at: now,
    last_activity_at: now,
    state: "creating",
    machine_id: null,
    stopped: null,
    snapshots: [],
    pins: null,
    pending_reset: null,
    command_count: 0,
    reset_count: 0,
    last_reset_at: null,
    seed,
    seed_generation: null,
    changed: false,
    deleted_at: null,
    directory: wanted.directory ?? null,
  };
}

/** The labels after a change of some. */
export function mergedLabels(
  labels: Readonly<Record<string, string>>,
  change: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const merged = { ...labels, ...change };
  return Object.fromEntries(
    Object.entries(merged).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}
