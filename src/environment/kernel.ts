/** The kernels guests boot: stored once each, shared by all environments, or one of the user's own. */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { PyroError } from "../contract/error.ts";
import { isErrno } from "../host/files.ts";
import { type HostPaths, kernelsDirectory } from "../host/paths.ts";
import { BOOT_MODULES, resolveModules } from "./kernel-modules.ts";

/** Description of a stored kernel, `kernel.json` beside it. */
export const kernelRecord = z.object({
  release: z.string(),
  /** Package it came from and the package's hash. */
  package: z.string(),
  package_sha256: z.string(),
  bytes: z.number(),
  sha256: z.string(),
});
export type KernelRecord = z.infer<typeof kernelRecord>;

/** A bzImage is what distributions install; an ELF is the kernel inside it, unpacked. */
export type KernelFormat = "bzimage" | "elf";

export interface KernelImage {
  readonly path: string;
  readonly format: KernelFormat;
  readonly release: string;
  /** Directory below which its modules lie, with modules.builtin. */
  readonly modulesDir: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** The stored kernel `id`, or undefined when it is not there or not readable. */
export async function readStoredKernel(
  paths: HostPaths,
  id: string,
): Promise<(KernelImage & { record: KernelRecord }) | undefined> {
  const directory = join(kernelsDirectory(paths), id);
  try {
    const record = kernelRecord.parse(JSON.parse(await readFile(join(directory, "kernel.json"), "utf8")));
    const { size } = await stat(join(directory, "vmlinuz"));
    if (size !== record.bytes) return undefined;
    const { release, bytes, sha256 } = record;
    const place = { path: join(directory, "vmlinuz"), modulesDir: join(directory, "modules") };
    return { ...place, format: "bzimage", release, bytes, sha256, record };
  } catch {
    // Absent, half-written by an old crash, or of another version of pyro: all are mended by storing it again.
    return undefined;
  }
}

/** Directory names of all stored kernels. */
export async function listStoredKernels(paths: HostPaths): Promise<string[]> {
  const entries = await readdir(kernelsDirectory(paths), { withFileTypes: true }).catch((failure: unknown) => {
    if (isErrno(failure, "ENOENT")) return [];
    throw failure;
  });
  return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith(".")).map((entry) => entry.name);
}

/** Name of a stored kernel's directory. */
export const kernelId = (record: Pick<KernelRecord, "release" | "sha256">): string =>
  `${record.release}-${record.sha256.slice(0, 12)}`;

/** The last one that was checked, and what it was then: a check reads and perhaps unpacks some twenty files. */
let checked: { key: string; kernel: KernelImage } | undefined;

/**
 * The user's own kernel, if `PYRO_KERNEL` names one. Its modules come from `PYRO_KERNEL_MODULES`, else from a
 * `modules` directory beside it, else from /lib/modules/<release>.
 *
 * @throws PyroError `invalid_argument` when it is neither a bzImage nor an ELF, `host_unsupported` when a driver is missing.
 */
export async function ownKernel(env: NodeJS.ProcessEnv): Promise<KernelImage | undefined> {
  const path = env["PYRO_KERNEL"];
  if (path === undefined || path === "") return undefined;
  const found = await stat(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  const key = [path, env["PYRO_KERNEL_MODULES"] ?? "", found.ino, found.size, found.mtimeMs].join("\0");
  if (checked?.key !== key) checked = { key, kernel: await checkKernel(path, env["PYRO_KERNEL_MODULES"]) };
  return checked.kernel;
}

async function checkKernel(path: string, chosenModules: string | undefined): Promise<KernelImage> {
  const content = await readFile(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  const isElf = content.subarray(0, 4).equals(Buffer.of(0x7f, 0x45, 0x4c, 0x46));
  const release = isElf ? elfRelease(content) : bzImageRelease(content);
  if (release === undefined) {
    throw new PyroError("invalid_argument", `PYRO_KERNEL: ${path} is not an x86 Linux bzImage or ELF kernel`, {
      remedy: "name a file such as /boot/vmlinuz-…, or unset PYRO_KERNEL",
    });
  }
  const modulesDir = await modulesOf(path, release, chosenModules);
  await resolveModules(modulesDir, BOOT_MODULES);
  return {
    path,
    format: isElf ? "elf" : "bzimage",
    release,
    modulesDir,
    bytes: content.length,
    sha256: createHash("sha256").update(content).digest("hex"),
  };
}

function unreadable(path: string, cause: unknown): PyroError {
  return new PyroError("invalid_argument", `PYRO_KERNEL: ${path} cannot be read`, {
    cause,
    remedy: "correct or unset PYRO_KERNEL",
  });
}

async function modulesOf(kernel: string, release: string, chosen: string | undefined): Promise<string> {
  if (chosen !== undefined && chosen !== "") return chosen;
  const beside = join(dirname(kernel), "modules");
  const found = await stat(beside).catch(() => undefined);
  return found?.isDirectory() === true ? beside : join("/lib/modules", release);
}

/**
 * The kernel release a bzImage carries, or undefined when it is none: "HdrS" at 0x202, boot flag 0xAA55 at 0x1FE, and
 * at 0x20E the offset of the version text less 0x200 (Documentation/arch/x86/boot.rst).
 */
export function bzImageRelease(image: Buffer): string | undefined {
  if (image.length < 0x400 || image.readUInt16LE(0x1fe) !== 0xaa55 || image.toString("latin1", 0x202, 0x206) !== "HdrS")
    return undefined;
  const start = image.readUInt16LE(0x20e) + 0x200;
  const text = image.toString("latin1", start, Math.min(start + 256, image.length));
  return /^([^\s\0]+)/.exec(text)?.[1];
}

/** The release an ELF kernel carries in its banner (init/version.c), or undefined when it is no kernel. */
export function elfRelease(image: Buffer): string | undefined {
  const start = image.indexOf("Linux version ");
  if (start === -1) return undefined;
  return /^Linux version ([0-9][^\s\0]*) /.exec(image.toString("latin1", start, start + 256))?.[1];
}
