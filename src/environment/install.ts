/** Installs one environment: produced in a directory of its own, complete or not there. */
import { copyFile, link, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { PullProgress } from "../contract/environment.ts";
import { isErrno, syncDirectory, syncFile } from "../host/files.ts";
import { type HostPaths, kernelsDirectory, makePrivateDirectory } from "../host/paths.ts";
import { Scope } from "../host/scope.ts";
import { throwIfCancelled } from "./cancellation.ts";
import { DEBIAN_SUITES, type EnvironmentDefinition, PLATFORM, recipeDigest } from "./definition.ts";
import { checkIntegrity, recordFile } from "./integrity.ts";
import { replaceDirectory } from "./kept.ts";
import { kernelId } from "./kernel.ts";
import { type EnvironmentManifest, MANIFEST_NAME } from "./manifest.ts";
import { abandonedPartials, createPartial, PARTIAL_PREFIX } from "./partial.ts";
import type { EnvironmentSource, ProducedEnvironment } from "./source.ts";

export interface Installation {
  readonly definition: EnvironmentDefinition;
  /** Its final place. */
  readonly directory: string;
  readonly source: EnvironmentSource;
  readonly paths: HostPaths;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: PullProgress) => void;
}

/** Builds the environment and puts it in its place with one rename. On any failure nothing is left. */
export async function buildEnvironment(installation: Installation): Promise<void> {
  const { definition, directory, signal, paths } = installation;
  await using scope = new Scope();
  const parent = makePrivateDirectory(dirname(directory));
  await removeAbandoned(paths, parent, installation.source);
  const partial = await createPartial(parent, PARTIAL_PREFIX);
  scope.defer(() => rm(partial, { recursive: true, force: true }));
  const onProgress = (progress: Omit<PullProgress, "environment">): void =>
    installation.onProgress({ ...progress, environment: definition.name });
  const produced = await installation.source.produce({ definition, paths, directory: partial, signal, onProgress });
  onProgress({ phase: "verify" });
  throwIfCancelled(signal);
  await rm(join(partial, "work"), { recursive: true, force: true });
  const manifest = await writeManifest(installation, partial, produced);
  await checkIntegrity(partial, manifest, "quick");
  await replaceDirectory(partial, directory, manifest.digest);
}

/** Sweeps what a crash left, here and in the stores that builds add to. */
export async function removeAbandoned(paths: HostPaths, parent: string, source: EnvironmentSource): Promise<string[]> {
  const mine = [
    ...(await abandonedPartials(parent, PARTIAL_PREFIX)),
    ...(await abandonedPartials(kernelsDirectory(paths), PARTIAL_PREFIX)),
  ];
  for (const path of mine) await rm(path, { recursive: true, force: true });
  return [...mine, ...(await source.removeAbandoned())];
}

async function writeManifest(
  installation: Installation,
  partial: string,
  produced: ProducedEnvironment,
): Promise<EnvironmentManifest> {
  const { definition, source } = installation;
  const { rootfs, kernel, packages } = produced;
  const vmlinuz = join(partial, "vmlinuz");
  await shareFile(kernel.path, vmlinuz);
  await syncFile(rootfs.path);
  const manifest: EnvironmentManifest = {
    manifest_version: 1,
    name: definition.name,
    version: definition.version,
    platform: PLATFORM,
    distribution: "debian",
    distribution_version: DEBIAN_SUITES[definition.suite],
    recipe: recipeDigest(definition),
    source: source.label,
    installed_at: new Date().toISOString(),
    digest: rootfs.sha256,
    rootfs: { ...(await recordFile(rootfs.path, rootfs)), format: rootfs.format },
    kernel: { ...(await recordFile(vmlinuz, kernel)), release: kernel.release, id: kernelId(kernel) },
    packages: [...packages],
  };
  await writeFile(join(partial, MANIFEST_NAME), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600, flush: true });
  await syncDirectory(partial);
  return manifest;
}

/** One copy on disk for all environments where the file system can link. */
async function shareFile(source: string, target: string): Promise<void> {
  try {
    await link(source, target);
  } catch (failure) {
    if (!isErrno(failure, "EXDEV") && !isErrno(failure, "EPERM") && !isErrno(failure, "EMLINK")) throw failure;
    await copyFile(source, target);
    await syncFile(target);
  }
}
