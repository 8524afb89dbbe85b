/** The archive every guest boots from: the agent as /init, and the kernel modules it inserts. */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../contract/error.ts";
import { writeFileDurably } from "../host/files.ts";
import { type HostPaths, makePrivateDirectory } from "../host/paths.ts";
import { type CpioEntry, encodeCpio } from "./cpio.ts";
import type { KernelImage } from "./kernel.ts";
import { BOOT_MODULES, presentModules, resolveModules } from "./kernel-modules.ts";
import { readModule } from "./module-file.ts";

/** Mount points the agent needs before it can make directories of its own. */
const DIRECTORIES = ["dev", "proc", "sys", "run", "newroot", "modules"];

export interface InitramfsOptions {
  readonly paths: HostPaths;
  readonly kernel: Pick<KernelImage, "modulesDir">;
  /** The static guest agent. */
  readonly agentPath: string;
  /** Modules beyond those every guest needs; which of them the kernel does not have is left out. */
  readonly optionalModules?: readonly string[];
}

export interface Initramfs {
  readonly path: string;
  readonly sha256: string;
}

export const initramfsDirectory = (paths: HostPaths): string => join(paths.cache, "initramfs");

/**
 * The initramfs for a kernel and an agent, built when there is none of exactly this content yet.
 *
 * `/modules/NN-name.ko` are to be inserted in the order of their names.
 */
export async function ensureInitramfs(options: InitramfsOptions): Promise<Initramfs> {
  const agent = await readFile(options.agentPath).catch((cause: unknown) => {
    throw new PyroError("dependency_missing", `the guest agent ${options.agentPath} cannot be read`, { cause });
  });
  const { modulesDir } = options.kernel;
  const optional = await presentModules(modulesDir, options.optionalModules ?? []);
  const modules = await resolveModules(modulesDir, [...BOOT_MODULES, ...optional]);
  const entries: CpioEntry[] = DIRECTORIES.map((path) => ({ path, kind: "directory", mode: 0o755 }));
  entries.push({ path: "init", kind: "file", mode: 0o755, content: agent });
  for (const [index, module] of modules.entries()) {
    const path = `modules/${String(index).padStart(2, "0")}-${module.name}.ko`;
    entries.push({ path, kind: "file", mode: 0o644, content: await readModule(module.path) });
  }
  const archive = encodeCpio(entries);
  const sha256 = createHash("sha256").update(archive).digest("hex");
  const path = join(makePrivateDirectory(initramfsDirectory(options.paths)), `${sha256.slice(0, 32)}.cpio`);
  const existing = await stat(path).catch(() => undefined);
  if (existing?.size !== archive.length) await writeFileDurably(path, archive);
  return { path, sha256 };
}
