/** Environments built on this host from Debian packages. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { Scope } from "../../host/scope.ts";
import type { DebianSuite } from "../definition.ts";
import { requireSpace } from "../disk-space.ts";
import { buildRootfsImage, ROOTFS_FORMAT, type RootfsImage } from "../rootfs-image.ts";
import type { EnvironmentBuild, EnvironmentSource, PackageVersion, ProducedEnvironment } from "../source.ts";
import { aptEnvironment } from "./apt-run.ts";
import {
  type AptRoot,
  downloadPackages,
  openAptRoot,
  packageCache,
  type PlannedPackage,
  planPackages,
} from "./apt-root.ts";
import {
  buildParentDirectory,
  createBuildDirectory,
  removeAbandonedBuilds,
  removeBuildDirectory,
} from "./build-directory.ts";
import { packageListPath, startBootstrap } from "./bootstrap.ts";
import { requireBuildHost } from "./build-host.ts";
import { fetchKernel } from "./kernel-package.ts";
import { debianMirror } from "./mirror.ts";

/** What mmdebstrap's minbase variant installs, as apt patterns. */
const MINBASE = ["?essential", "?priority(required)", "apt"];

/** Package lists of one suite with apt's caches of them, unpacked; measured 125 MB. */
const LISTS_BYTES = 150_000_000;
/** The kernel's package, unpacked, and what is kept of it. */
const KERNEL_BYTES = 200_000_000;

/** The kernel is one for all environments, whatever their release: the one that guests are tested with. */
const KERNEL_SUITE: DebianSuite = "bookworm";

export const debianSource: EnvironmentSource = {
  label: "built from Debian packages (deb.debian.org, signed)",
  produce: produceDebian,
  removeAbandoned: removeAbandonedBuilds,
};

async function produceDebian(build: EnvironmentBuild): Promise<ProducedEnvironment> {
  const { definition, paths, onProgress } = build;
  await requireBuildHost();
  await requireSpace(build.directory, LISTS_BYTES, "PYRO_CACHE_DIR");
  await mkdir(workDirectory(build), { mode: 0o700 });
  const root = await aptRootFor(build, definition.suite);
  const planned = await planPackages(root, [...MINBASE, ...definition.packages]);
  await requireBuildSpace(build.directory, planned);
  await downloadPackages(root, planned, {
    cache: packageCache(paths),
    onPercent: (percent) => onProgress({ phase: "packages", percent: Math.floor(percent / 4), detail: "download" }),
  });
  const { rootfs, packages } = await bootstrapImage(build, root, planned);
  onProgress({ phase: "kernel" });
  const kernel = await fetchKernel({
    paths,
    root: definition.suite === KERNEL_SUITE ? root : await aptRootFor(build, KERNEL_SUITE),
    workDirectory: workDirectory(build),
    debCache: packageCache(paths),
    onPercent: (percent) => onProgress({ phase: "kernel", percent: Math.floor(percent) }),
  });
  return { rootfs, kernel, packages };
}

/** For what only the build needs; whoever asked for the build removes it. */
const workDirectory = (build: EnvironmentBuild): string => join(build.directory, "work");

async function aptRootFor(build: EnvironmentBuild, suite: DebianSuite): Promise<AptRoot> {
  const mirror = await debianMirror(suite, process.env);
  const env = await aptEnvironment(process.env);
  return await openAptRoot(join(workDirectory(build), `apt-${suite}`), suite, { mirror, env, signal: build.signal });
}

/** Refuses a build that would run out of disk; nothing has been downloaded yet. */
async function requireBuildSpace(directory: string, planned: readonly PlannedPackage[]): Promise<void> {
  const download = planned.reduce((sum, item) => sum + item.bytes, 0);
  const installed = planned.reduce((sum, item) => sum + item.installedBytes, 0);
  // The image is smaller than what it holds, and the packages may be here already; a little room is left to others.
  await requireSpace(directory, download + installed * 0.6 + KERNEL_BYTES + LISTS_BYTES, "PYRO_CACHE_DIR");
  await requireSpace(buildParentDirectory(), download + installed + LISTS_BYTES, "TMPDIR");
}

/** Runs mmdebstrap and the image builder side by side, the tar going from one to the other through memory. */
async function bootstrapImage(
  build: EnvironmentBuild,
  root: AptRoot,
  planned: readonly PlannedPackage[],
): Promise<{ rootfs: RootfsImage; packages: PackageVersion[] }> {
  await using scope = new Scope();
  const buildDirectory = await createBuildDirectory();
  scope.defer(() => removeBuildDirectory(buildDirectory));
  const bootstrap = startBootstrap({
    definition: build.definition,
    root,
    packageCount: planned.length,
    workDirectory: workDirectory(build),
    buildDirectory,
    signal: build.signal,
    onPercent: (percent, detail) =>
      build.onProgress({ phase: "packages", percent: 25 + Math.floor((percent * 3) / 4), detail }),
  });
  // The image is stopped by its input's end when mmdebstrap fails, and mmdebstrap has to be stopped when the image fails.
  const image = buildRootfsImage(bootstrap.tar, join(build.directory, `rootfs.${ROOTFS_FORMAT}`), {
    signal: build.signal,
    onBytes: (bytes) => build.onProgress({ phase: "image", bytes }),
  }).catch((failure: unknown) => {
    bootstrap.stop(PyroError.from(failure));
    throw failure;
  });
  const [ended, built] = await Promise.allSettled([bootstrap.ended, image]);
  if (ended.status === "rejected") throw ended.reason;
  if (built.status === "rejected") throw built.reason;
  return {
    rootfs: built.value,
    packages: parsePackageList(await readFile(packageListPath(workDirectory(build)), "utf8")),
  };
}

/** Lines of name, version and architecture, separated by tabs. */
export function parsePackageList(text: string): PackageVersion[] {
  return text.split("\n").flatMap((line) => {
    const [name, version, architecture] = line.split("\t");
    if (name === undefined || version === undefined || architecture === undefined) return [];
    return { name, version, architecture };
  });
}
