/** Fetches Debian's cloud kernel and stores it for all environments. */
import { randomBytes } from "node:crypto";
import { copyFile, mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { syncDirectory } from "../../host/files.ts";
import { type HostPaths, kernelsDirectory } from "../../host/paths.ts";
import { startGroup } from "../../host/process-group.ts";
import { sha256OfFile } from "../hash.ts";
import { kernelId, type KernelImage, type KernelRecord, listStoredKernels, readStoredKernel } from "../kernel.ts";
import { resolveModules, STORED_MODULES } from "../kernel-modules.ts";
import { type AptRoot, archivesDirectory, downloadPackages, type PlannedPackage, planPackages } from "./apt-root.ts";
import { toolEnvironment } from "./apt-run.ts";

/** Always Debian's current one for virtual machines. */
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
  if (code !== 0) throw new PyroError("environment_failed", `${basename(deb)} could not be unpacked`, { evidence: { exit: code ?? "signal" } });
}

/** Copies what pyro needs of an unpacked kernel package into the store, with one rename at the end. */
async function storeKernel(paths: HostPaths, unpacked: string, planned: PlannedPackage): Promise<KernelImage> {
  const release = (await readdir(join(unpacked, "lib", "modules")))[0];
  if (release === undefined) throw new PyroError("environment_failed", `${planned.name} contains no modules`);
  const modules = join(unpacked, "lib", "modules", release);
  const image = join(unpacked, "boot", `vmlinuz-${release}`);
  const sha256 = await sha256OfFile(image);
  const partial = join(kernelsDirectory(paths), `.partial-${randomBytes(6).toString("hex")}`);
  await mkdir(join(partial, "modules"), { recursive: true, mode: 0o700 });
  try {
    await copyDurably(image, join(partial, "vmlinuz"));
    for (const module of await resolveModules(modules, STORED_MODULES)) {
      await copyDurably(module.path, join(partial, "modules", basename(module.path)));
    }
    await copyDurably(join(modules, "modules.builtin"), join(partial, "modules", "modules.builtin"));
    const record: KernelRecord = {
      release,
      package: `${planned.name}=${planned.version}`,
      package_sha256: planned.sha256,
      bytes: (await open(image).then(async (file) => (await file.stat().finally(() => file.close())).size)),
      sha256,
    };
    await writeFile(join(partial, "kernel.json"), `${JSON.stringify(record, null, 2)}\n`, { flush: true });
    const id = kernelId(record);
    const target = join(kernelsDirectory(paths), id);
    // What is in the way is a damaged store of the same kernel, or the same one stored meanwhile.
    await rm(target, { recursive: true, force: true });
    await rename(partial, target);
    await syncDirectory(kernelsDirectory(paths));
    const stored = await readStoredKernel(paths, id);
    if (stored === undefined) throw new PyroError("internal", `kernel ${id} was stored but cannot be read`);
    return stored;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function copyDurably(source: string, target: string): Promise<void> {
  await copyFile(source, target);
  const file = await open(target, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
