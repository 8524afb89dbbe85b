/** Where environments come from: built here from a distribution's packages, later also pulled from a registry. */
import type { PullProgress } from "../contract/environment.ts";
import type { HostPaths } from "../host/paths.ts";
import type { EnvironmentDefinition } from "./definition.ts";
import type { KernelImage } from "./kernel.ts";
import type { RootfsImage } from "./rootfs-image.ts";

export interface PackageVersion {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

export interface EnvironmentBuild {
  readonly definition: EnvironmentDefinition;
  readonly paths: HostPaths;
  /** Private directory on the cache's file system; the image goes in, everything else in it is thrown away. */
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Omit<PullProgress, "environment">) => void;
}

export interface ProducedEnvironment {
  /** The image, inside `EnvironmentBuild.directory`. */
  readonly rootfs: RootfsImage;
  readonly kernel: KernelImage;
  readonly packages: readonly PackageVersion[];
}

export interface EnvironmentSource {
  /** Shown to users as the environment's `source`; never a mirror's or a proxy's address. */
  readonly label: string;
  /** Produces the files of one environment. Leaves no process and nothing outside `directory` and the shared stores. */
  produce(build: EnvironmentBuild): Promise<ProducedEnvironment>;
  /** Removes what builds of processes that are gone left outside their directories; gives the paths. */
  removeAbandoned(): Promise<string[]>;
}
