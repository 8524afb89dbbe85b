/** What the handlers work with. */
import type { EnvironmentDetails, EnvironmentSummary } from "../contract/environment.ts";
import type { HostPaths } from "../host/paths.ts";
import type { Machines, OpenMachine } from "../machine/machine.ts";
import type { ByteStreams } from "./byte-streams.ts";
import type { Executions } from "./executions.ts";
import type { Workspaces } from "../workspace/workspaces.ts";
import type { Lifecycle } from "./lifecycle.ts";

/** The environments as the handlers need them. */
export interface Environments {
  list(): Promise<{ catalogVersion: string; environments: EnvironmentSummary[] }>;
  /** @throws PyroError not_found, artifact_corrupt when `verify` finds an altered file */
  inspect(name: string, options: { verify: boolean }): Promise<EnvironmentDetails>;
  /** Deletes what newer builds have replaced, but for these directories. */
  dropReplaced(inUse: ReadonlySet<string>): Promise<void>;
  prune(options: {
    all: boolean;
    inUse: ReadonlySet<string>;
  }): Promise<{ deletedDirectories: readonly string[]; freedBytes: number; keptInUse: readonly string[] }>;
}

/** A machine that a caller holds by its `machine.open`. */
export interface HeldMachine {
  readonly machine: OpenMachine;
  /** Ends that call, which ends the machine; settles when it is gone. */
  readonly release: () => Promise<void>;
}

export interface ServerContext {
  readonly paths: HostPaths;
  readonly machines: Machines;
  readonly workspaces: Workspaces;
  readonly environments: Environments;
  readonly streams: ByteStreams;
  readonly executions: Executions;
  readonly lifecycle: Lifecycle;
  /** Machines that `machine.open` holds for a caller, by id. */
  readonly openMachines: Map<string, HeldMachine>;
}
