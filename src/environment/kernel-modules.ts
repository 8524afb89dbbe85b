/** Finds kernel modules and the order in which they can be inserted. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../contract/error.ts";
import { readTextIfPresent } from "../host/files.ts";
import { readModuleInfo, readModule } from "./module-file.ts";

/** What every guest needs before it has a root file system: its disks, its link to the host, its file systems. */
export const BOOT_MODULES = [
  "virtio_mmio",
  "virtio_pci",
  "virtio_blk",
  "virtio_console",
  "squashfs",
  "overlay",
] as const;

/** The file system of workspace volumes. */
export const VOLUME_MODULES = ["btrfs"] as const;

/** The link to the host on Firecracker. */
export const VSOCK_MODULES = ["vmw_vsock_virtio_transport"] as const;

/** Everything a stored kernel keeps, so that what uses it later does not need it stored again. */
export const STORED_MODULES: readonly string[] = [...BOOT_MODULES, ...VOLUME_MODULES, ...VSOCK_MODULES];

export interface KernelModule {
  /** With underscores, as lsmod shows it. */
  readonly name: string;
  /** The file, possibly compressed. */
  readonly path: string;
}

interface ModuleIndex {
  readonly files: ReadonlyMap<string, string>;
  readonly builtin: ReadonlySet<string>;
}

/**
 * The modules `wanted` and all they depend on, each after its dependencies; what is built into the kernel is left out.
 *
 * The dependencies are those the modules themselves declare (`depends=` in their .modinfo section), which is what
 * depmod writes to modules.dep: a kernel package as it is downloaded has no modules.dep yet.
 *
 * @throws PyroError `host_unsupported` naming what the kernel lacks.
 */
export async function resolveModules(directory: string, wanted: readonly string[]): Promise<KernelModule[]> {
  const index = await indexModules(directory);
  const ordered = new Map<string, KernelModule>();
  const missing = new Set<string>();
  const visit = async (name: string, path: readonly string[]): Promise<void> => {
    if (ordered.has(name) || index.builtin.has(name) || path.includes(name)) return;
    const file = index.files.get(name);
    if (file === undefined) {
      missing.add(name);
      return;
    }
    const info = readModuleInfo(await readModule(file));
    for (const dependency of info.depends) await visit(dependency, [...path, name]);
    ordered.set(name, { name, path: file });
  };
  for (const name of wanted) await visit(name, []);
  if (missing.size > 0) throw missingModules(directory, [...missing]);
  return [...ordered.values()];
}

/** Those of `wanted` that the kernel has, as modules or built in. */
export async function presentModules(directory: string, wanted: readonly string[]): Promise<string[]> {
  const { files, builtin } = await indexModules(directory);
  return wanted.filter((name) => files.has(name) || builtin.has(name));
}

function missingModules(directory: string, missing: readonly string[]): PyroError {
  return new PyroError("host_unsupported", `the kernel lacks ${missing.join(", ")}`, {
    evidence: { modules_directory: directory },
    remedy:
      "use a kernel with these drivers as modules (PYRO_KERNEL_MODULES names their directory) or built in (listed in modules.builtin there)",
  });
}

async function indexModules(directory: string): Promise<ModuleIndex> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = new Map<string, string>();
  for (const entry of entries) {
    const name = moduleName(entry.name);
    if (name !== undefined && entry.isFile()) files.set(name, join(entry.parentPath, entry.name));
  }
  const list = (await readTextIfPresent(join(directory, "modules.builtin"))) ?? "";
  const builtin = list.split("\n").map((line) => moduleName(line.split("/").at(-1) ?? ""));
  return { files, builtin: new Set(builtin.filter((name) => name !== undefined)) };
}

/** `virtio-blk.ko.xz` is virtio_blk: the kernel makes no difference between the two characters. */
function moduleName(fileName: string): string | undefined {
  return /^(.+)\.ko(?:\.(?:gz|xz|zst))?$/.exec(fileName)?.[1]?.replaceAll("-", "_");
}
