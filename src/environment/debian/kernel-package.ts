/** Fetches Debian's cloud kernel and stores it for all environments. */
import { copyFile, mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { syncDirectory, syncFile } from "../../host/files.ts";
import { type HostPaths, kernelsDirectory } from "../../host/paths.ts";
import { startGroup } from "../../host/process-group.ts";
import { Scope } from "../../host/scope.ts";
import { sha256OfFile } from "../hash.ts";
import { kernelId, type KernelImage, type KernelRecord, listStoredKernels, readStoredKernel } from "../kernel.ts";
import { resolveModules, STORED_MODULES } from "../kernel-modules.ts";
import { createPartial, PARTIAL_PREFIX } from "../partial.ts";
import { type AptRoot, archivesDirectory, downloadPackages, type PlannedPackage, planPackages } from "./apt-root.ts";
import { toolEnvironment } from "./apt-run.ts";

/** Depends on Debian's current kernel for virtual machines. */
const META_PACKAGE = "linux-image-cloud-amd64";
const UNPACK_DEADLINE_MS = 120_000;

export interface KernelFetch {
  readonly paths: HostPaths;
  readonly root: AptRoot;
  /** Private directory on the cache's file system. */
  readonly workDirectory: string;
  readonly debCache: string;
  readonly onPercent: (percent: number) => void;
}

/** The current kernel: the stored one when its package is still the newest, else fetched and stored. */
export async function fetchKernel(fetch: KernelFetch): Promise<KernelImage> {
  const planned = await planKernel(fetch.root);
  for (const id of await listStoredKernels(fetch.paths)) {
    const stored = await readStoredKernel(fetch.paths, id);
    if (stored?.record.package_sha256 === planned.sha256) return stored;
  }
  await downloadPackages(fetch.root, [planned], { cache: fetch.debCache, onPercent: fetch.onPercent });
  const unpacked = join(fetch.workDirectory, "kernel");
  await unpack(join(archivesDirectory(fetch.root), planned.fileName), unpacked, fetch.root.signal);
  return await storeKernel(fetch.paths, unpacked, planned);
}

async function planKernel(root: AptRoot): Promise<PlannedPackage> {
  const planned = await planPackages(root, [META_PACKAGE]);
  const image = planned.find((item) => /^linux-image-\d.*-cloud-amd64$/.test(item.name));
  if (image === undefined) throw new PyroError("environment_failed", `${META_PACKAGE} brings no kernel image`);
  return image;
}

async function unpack(deb: string, directory: string, signal: AbortSignal): Promise<void> {
  const group = startGroup("dpkg-deb", ["--extract", deb, directory], {
    deadlineMs: UNPACK_DEADLINE_MS,
    signal,
    stdio: ["ignore", "ignore", "ignore"],
    env: toolEnvironment(),
  });
  const { code } = await group.ended;
  if (code !== 0)
    throw new PyroError("environment_failed", `${basename(deb)} could not be unpacked`, {
      evidence: { exit: code ?? "signal" },
    });
}

/** Copies what pyro needs of an unpacked kernel package into the store, with one rename at the end. */
async function storeKernel(paths: HostPaths, unpacked: string, planned: PlannedPackage): Promise<KernelImage> {
  await using scope = new Scope();
  const release = (await readdir(join(unpacked, "lib", "modules")))[0];
  if (release === undefined) throw new PyroError("environment_failed", `${planned.name} contains no modules`);
  const partial = await createPartial(kernelsDirectory(paths), PARTIAL_PREFIX);
  scope.defer(() => rm(partial, { recursive: true, force: true }));
  await copyKernel(unpacked, release, partial);
  const image = join(partial, "vmlinuz");
  const record: KernelRecord = {
    release,
    package: `${planned.name}=${planned.version}`,
    package_sha256: planned.sha256,
    bytes: (await stat(image)).size,
    sha256: await sha256OfFile(image),
  };
  await writeFile(join(partial, "kernel.json"), `${JSON.stringify(record, null, 2)}\n`, { flush: true });
  const target = join(kernelsDirectory(paths), kernelId(record));
  // What is in the way is a damaged store of the same kernel, or the same one stored meanwhile.
  await rm(target, { recursive: true, force: true });
  await rename(partial, target);
  await syncDirectory(kernelsDirectory(paths));
  const stored = await readStoredKernel(paths, kernelId(record));
  if (stored === undefined) throw new PyroError("internal", `${target} was stored but cannot be read`);
  return stored;
}

async function copyKernel(unpacked: string, release: string, target: string): Promise<void> {
  const modules = join(unpacked, "lib", "modules", release);
  await mkdir(join(target, "modules"), { mode: 0o700 });
  const wanted = await resolveModules(modules, STORED_MODULES);
  const copies = [
    [join(unpacked, "boot", `vmlinuz-${release}`), "vmlinuz"],
    [join(modules, "modules.builtin"), join("modules", "modules.builtin")],
    ...wanted.map(({ path }) => [path, join("modules", basename(path))]),
  ] as [source: string, name: string][];
  for (const [source, name] of copies) {
    await copyFile(source, join(target, name));
    await syncFile(join(target, name));
  }
}
