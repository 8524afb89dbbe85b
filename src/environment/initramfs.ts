/** The archive every guest boots from: the agent as /init, and the kernel modules it inserts. */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import * as z from "zod";
import { PyroError } from "../contract/error.ts";
import { readTextIfPresent, writeFileDurably } from "../host/files.ts";
import { type HostPaths, makePrivateDirectory } from "../host/paths.ts";
import { type CpioEntry, encodeCpio } from "./cpio.ts";
import type { KernelImage } from "./kernel.ts";
import { BOOT_MODULES, presentModules, resolveModules } from "./kernel-modules.ts";
import { readModule } from "./module-file.ts";

/** Mount points the agent needs before it can make directories of its own. */
const DIRECTORIES = ["dev", "proc", "sys", "run", "newroot", "modules", "modules/volume"];

export interface InitramfsOptions {
  readonly paths: HostPaths;
  readonly kernel: Pick<KernelImage, "modulesDir">;
  /** The static guest agent. */
  readonly agentPath: string;
  /** Modules beyond those every guest needs; which of them the kernel does not have is left out. */
  readonly optionalModules?: readonly string[];
  /** The same of what only volumes need, which the agent inserts when it prepares a template: some try themselves out for a second. */
  readonly volumeModules?: readonly string[];
}

export interface Initramfs {
  readonly path: string;
  readonly sha256: string;
}

const archiveRecord = z.object({ file: z.string(), sha256: z.string(), bytes: z.number(), mtime_ms: z.number() });

export const initramfsDirectory = (paths: HostPaths): string => join(paths.cache, "initramfs");

/**
 * The initramfs for a kernel and an agent, built when there is none of exactly this content yet.
 *
 * `/modules/NN-name.ko` are to be inserted in the order of their names, and after them `/modules/volume/NN-name.ko`.
 */
export async function ensureInitramfs(options: InitramfsOptions): Promise<Initramfs> {
  const agent = await readFile(options.agentPath).catch((cause: unknown) => {
    throw new PyroError("dependency_missing", `the guest agent ${options.agentPath} cannot be read`, { cause });
  });
  const { modulesDir } = options.kernel;
  const atBoot = [...BOOT_MODULES, ...(await presentModules(modulesDir, options.optionalModules ?? []))];
  const later = await presentModules(modulesDir, options.volumeModules ?? []);
  const first = new Set((await resolveModules(modulesDir, atBoot)).map(({ name }) => name));
  const modules = await resolveModules(modulesDir, [...atBoot, ...later]);
  const entries: CpioEntry[] = DIRECTORIES.map((path) => ({ path, kind: "directory", mode: 0o755 }));
  entries.push({ path: "init", kind: "file", mode: 0o755, content: agent });
  for (const [index, module] of modules.entries()) {
    const directory = first.has(module.name) ? "modules" : "modules/volume";
    const path = `${directory}/${String(index).padStart(2, "0")}-${module.name}.ko`;
    entries.push({ path, kind: "file", mode: 0o644, content: await readModule(module.path) });
  }
  const archive = encodeCpio(entries);
  const sha256 = createHash("sha256").update(archive).digest("hex");
  const path = join(makePrivateDirectory(initramfsDirectory(options.paths)), `${sha256.slice(0, 32)}.cpio`);
  const existing = await stat(path).catch(() => undefined);
  if (existing?.size !== archive.length) await writeFileDurably(path, archive);
  return { path, sha256 };
}

/**
 * The initramfs that was built from `inputs`, which name all it is made of, or the one that `build` makes now. Naming an
 * archive by its content takes reading some 10 MB, which every first start of a server would wait for.
 */
export async function initramfsOfInputs(
  paths: HostPaths,
  inputs: readonly string[],
  build: () => Promise<Initramfs>,
): Promise<Initramfs> {
  const digest = createHash("sha256")
    .update(JSON.stringify([...inputs, DIRECTORIES, BOOT_MODULES]))
    .digest("hex");
  const recordPath = join(makePrivateDirectory(initramfsDirectory(paths)), `${digest.slice(0, 32)}.json`);
  const known = await recordedArchive(recordPath);
  if (known !== undefined) return known;
  const initramfs = await build();
  const { size: bytes, mtimeMs: mtime_ms } = await stat(initramfs.path);
  const record = { file: basename(initramfs.path), sha256: initramfs.sha256, bytes, mtime_ms };
  await writeFileDurably(recordPath, JSON.stringify(record));
  return initramfs;
}

/** The archive that a record tells of, if it is still there as it was written. */
async function recordedArchive(recordPath: string): Promise<Initramfs | undefined> {
  try {
    const text = await readTextIfPresent(recordPath);
    if (text === undefined) return undefined;
    const { file, sha256, bytes, mtime_ms } = archiveRecord.parse(JSON.parse(text));
    const path = join(dirname(recordPath), basename(file));
    const { size, mtimeMs } = await stat(path);
    return size === bytes && mtimeMs === mtime_ms ? { path, sha256 } : undefined;
  } catch {
    // A damaged record or an archive that is gone: building it again mends both.
    return undefined;
  }
}
