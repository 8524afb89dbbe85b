/** The environments on this host: which there are, which are installed, and installing one. */
import { join } from "node:path";
import type {
  EnvironmentDefaults,
  EnvironmentDetails,
  EnvironmentSummary,
  PullProgress,
} from "../contract/environment.ts";
import { PyroError } from "../contract/error.ts";
import { environmentsDirectory, type HostPaths, type InstalledRoot } from "../host/paths.ts";
import { SingleFlight } from "../host/single-flight.ts";
import { debianSource } from "./debian/source.ts";
import {
  DEBIAN_SUITES,
  type EnvironmentDefinition,
  installDirectoryName,
  PLATFORM,
  recipeDigest,
} from "./definition.ts";
import { buildEnvironment } from "./install.ts";
import { checkIntegrity } from "./integrity.ts";
import { findKept } from "./kept.ts";
import { type KernelImage, ownKernel, readStoredKernel } from "./kernel.ts";
import { type EnvironmentManifest, MANIFEST_NAME, readManifest } from "./manifest.ts";
import { findEnvironment, knownEnvironments } from "./names.ts";
import type { RootfsImage } from "./rootfs-image.ts";
import type { EnvironmentSource } from "./source.ts";

/** An environment whose files are here and were found to be right. */
export interface InstalledEnvironment {
  readonly summary: EnvironmentSummary;
  readonly manifest: EnvironmentManifest;
  readonly rootfs: RootfsImage;
  readonly kernel: KernelImage;
  readonly defaults: EnvironmentDefaults;
}

export interface InstallOptions {
  readonly paths: HostPaths;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: PullProgress) => void;
  /** Build it again although it is installed. */
  readonly force?: boolean;
}

/** The files of an environment, whatever its name means today. */
export type InstalledFiles = Pick<InstalledEnvironment, "rootfs" | "kernel"> & {
  readonly name: string;
  readonly version: string;
  readonly directory: string;
};

/** One process writes the cache (the server), so sharing the work inside it is sharing it altogether. */
const flights = new SingleFlight<void, PullProgress>();

/** Directory of all environments for this platform. */
export const platformDirectory = (paths: HostPaths): string => join(environmentsDirectory(paths), PLATFORM);

/** Where `definition` is or would be installed. */
export const installDirectory = (definition: EnvironmentDefinition, paths: HostPaths): string =>
  join(platformDirectory(paths), installDirectoryName(definition));

/** Where environments come from; registries will be a second source. */
export const sourceOf = (_definition: EnvironmentDefinition): EnvironmentSource => debianSource;

/**
 * Makes sure that `name` is installed, building it when it is not there, out of date or damaged. Calls for the same
 * environment share one build; it is aborted, with nothing left of it, when all of them are.
 *
 * Progress ends with `verify`: saying `ready` is up to the caller, who adds the template first.
 *
 * @throws PyroError `not_found`, `dependency_missing`, `resource_exhausted`, `cancelled`, `environment_failed`.
 */
export async function installEnvironment(name: string, options: InstallOptions): Promise<InstalledEnvironment> {
  const definition = await findEnvironment(name, options.paths);
  if (options.force !== true) {
    const installed = await usable(definition, options.paths);
    if (installed !== undefined) return installed;
  }
  options.onProgress?.({ phase: "install", environment: name });
  const directory = installDirectory(definition, options.paths);
  const passenger = { signal: options.signal, onProgress: options.onProgress };
  await flights.join(directory, passenger, (signal, onProgress) =>
    buildEnvironment({ definition, directory, source: sourceOf(definition), paths: options.paths, signal, onProgress }),
  );
  return await readInstalled(name, options.paths);
}

/**
 * The installed environment `name`, its files checked by size and time (by content where these differ).
 *
 * @throws PyroError `not_found` when it is not installed (or unknown), `artifact_corrupt` when it is damaged.
 */
export async function readInstalled(name: string, paths: HostPaths): Promise<InstalledEnvironment> {
  const definition = await findEnvironment(name, paths);
  const installed = await readDefinition(definition, paths);
  if (installed !== undefined) return installed;
  throw new PyroError("not_found", `${name} is not installed`, { remedy: `pyro env pull ${name}` });
}

/** The environment that something was started from, also when a newer build has replaced it; undefined: it is gone. */
export async function readKept(root: InstalledRoot, paths: HostPaths): Promise<InstalledFiles | undefined> {
  const found = await findKept(root);
  if (found === undefined) return undefined;
  const { directory, manifest } = found;
  const files = await orGone(filesOf(directory, manifest, paths));
  return files === undefined ? undefined : { name: manifest.name, version: manifest.version, directory, ...files };
}

/** All environments, built-in ones first, installed or not. */
export async function listEnvironments(paths: HostPaths): Promise<EnvironmentSummary[]> {
  const known = await knownEnvironments(paths);
  return await Promise.all(
    known.map(async (definition) => summarize(definition, paths, await currentManifest(definition, paths))),
  );
}

/**
 * Everything worth knowing of one environment. With `verify`, its files are read and compared with their hashes.
 *
 * @throws PyroError `not_found`; with `verify` also `artifact_corrupt`.
 */
export async function inspectEnvironment(
  name: string,
  paths: HostPaths,
  options: { verify?: boolean } = {},
): Promise<EnvironmentDetails> {
  const definition = await findEnvironment(name, paths);
  const directory = installDirectory(definition, paths);
  const manifest = await currentManifest(definition, paths);
  const summary = summarize(definition, paths, manifest);
  if (manifest === undefined) {
    const nothing = {
      kernel_image: null,
      kernel_version: null,
      rootfs_image: null,
      rootfs_format: null,
      rootfs_bytes: null,
    };
    return { ...summary, ...nothing, install_manifest: null, digest: null, installed_at: null };
  }
  if (options.verify === true) await checkIntegrity(directory, manifest, "full");
  return {
    ...summary,
    install_manifest: join(directory, MANIFEST_NAME),
    kernel_image: join(directory, manifest.kernel.file),
    kernel_version: manifest.kernel.release,
    rootfs_image: join(directory, manifest.rootfs.file),
    rootfs_format: manifest.rootfs.format,
    rootfs_bytes: manifest.rootfs.bytes,
    digest: manifest.digest,
    installed_at: manifest.installed_at,
  };
}

/** The installed environment if it can be used as it is; damage means building it again. */
async function usable(definition: EnvironmentDefinition, paths: HostPaths): Promise<InstalledEnvironment | undefined> {
  return await orGone(readDefinition(definition, paths));
}

/** What is damaged is as good as gone. */
async function orGone<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (failure) {
    if (PyroError.is(failure) && failure.code === "artifact_corrupt") return undefined;
    throw failure;
  }
}

async function readDefinition(
  definition: EnvironmentDefinition,
  paths: HostPaths,
): Promise<InstalledEnvironment | undefined> {
  const directory = installDirectory(definition, paths);
  const manifest = await readManifest(directory);
  if (manifest === undefined || manifest.recipe !== recipeDigest(definition)) return undefined;
  await checkIntegrity(directory, manifest, "quick");
  const summary = summarize(definition, paths, manifest);
  return { summary, manifest, ...(await filesOf(directory, manifest, paths)), defaults: definition.defaults };
}

async function filesOf(
  directory: string,
  manifest: EnvironmentManifest,
  paths: HostPaths,
): Promise<Pick<InstalledEnvironment, "rootfs" | "kernel">> {
  const rootfs = { ...manifest.rootfs, path: join(directory, manifest.rootfs.file) } as RootfsImage;
  return { rootfs, kernel: (await ownKernel(process.env)) ?? (await kernelOf(directory, manifest, paths)) };
}

async function kernelOf(directory: string, manifest: EnvironmentManifest, paths: HostPaths): Promise<KernelImage> {
  const { id, release, bytes, sha256, file } = manifest.kernel;
  const stored = await readStoredKernel(paths, id);
  if (stored === undefined) {
    throw new PyroError("artifact_corrupt", `the modules of kernel ${id} are gone`, {
      remedy: `pyro env pull ${manifest.name}`,
    });
  }
  return { path: join(directory, file), format: "bzimage", release, bytes, sha256, modulesDir: stored.modulesDir };
}

/** The manifest of what is installed for `definition` as it is today; a damaged one counts as not installed. */
async function currentManifest(
  definition: EnvironmentDefinition,
  paths: HostPaths,
): Promise<EnvironmentManifest | undefined> {
  const manifest = await readManifest(installDirectory(definition, paths)).catch(() => undefined);
  return manifest?.recipe === recipeDigest(definition) ? manifest : undefined;
}

function summarize(
  definition: EnvironmentDefinition,
  paths: HostPaths,
  manifest: EnvironmentManifest | undefined,
): EnvironmentSummary {
  return {
    name: definition.name,
    version: definition.version,
    description: definition.description,
    distribution: "debian",
    distribution_version: DEBIAN_SUITES[definition.suite],
    platform: PLATFORM,
    default_packages: [...definition.defaultPackages],
    defaults: definition.defaults,
    origin: definition.origin,
    source: manifest?.source ?? sourceOf(definition).label,
    installed: manifest !== undefined,
    cache_dir: environmentsDirectory(paths),
    install_dir: installDirectory(definition, paths),
  };
}
