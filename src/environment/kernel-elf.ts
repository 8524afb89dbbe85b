/** The kernel inside a bzImage, which boots by itself only where there is no firmware to unpack it. */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import * as z from "zod";
import { PyroError } from "../contract/error.ts";
import { readTextIfPresent, writeFileDurably } from "../host/files.ts";
import { type HostPaths, makePrivateDirectory } from "../host/paths.ts";
import { decompress } from "./decompress.ts";
import type { KernelFormat, KernelImage } from "./kernel.ts";
import { decodeLz4Legacy, LZ4_LEGACY_MAGIC } from "./lz4.ts";

/** Description of an unpacked kernel, beside it. */
const elfRecord = z.object({ bytes: z.number(), mtime_ms: z.number(), sha256: z.string() });

/** Larger than any kernel: a damaged size must not take all memory. */
const KERNEL_BYTES_MAX = 512 * 1024 * 1024;
const ELF_MAGIC = Buffer.of(0x7f, 0x45, 0x4c, 0x46);
/** Sectors of the setup code when the header says 0, and their size (Documentation/arch/x86/boot.rst). */
const SETUP_SECTORS_DEFAULT = 4;
const SECTOR_BYTES = 512;
/** Version 2.08 of the boot protocol is the first whose header says where the payload is. */
const PAYLOAD_SINCE_VERSION = 0x0208;

export const kernelElfDirectory = (paths: HostPaths): string => join(paths.cache, "vmlinux");

/**
 * The kernel as a file in the wanted format.
 *
 * @throws PyroError `invalid_argument` when the user's own kernel is an ELF and a bzImage is wanted, `artifact_corrupt` when
 *   it cannot be unpacked, `dependency_missing` without the program that unpacks it.
 */
export async function kernelFile(kernel: KernelImage, format: KernelFormat, paths: HostPaths): Promise<string> {
  if (kernel.format === format) return kernel.path;
  if (format === "elf") return await ensureKernelElf(kernel, paths);
  throw new PyroError("invalid_argument", `PYRO_KERNEL: ${kernel.path} is an ELF kernel, and QEMU boots bzImages`, {
    remedy: "name the bzImage it came from, such as /boot/vmlinuz-…, which Firecracker can use too",
  });
}

/** The ELF of a bzImage, unpacked once and kept in the cache under the bzImage's hash. */
async function ensureKernelElf(kernel: KernelImage, paths: HostPaths): Promise<string> {
  const path = join(makePrivateDirectory(kernelElfDirectory(paths)), `${kernel.sha256.slice(0, 32)}.elf`);
  const recordPath = `${path}.json`;
  if (await isWhole(path, recordPath)) return path;
  const elf = await unpackKernel(await readFile(kernel.path));
  await writeFileDurably(path, elf);
  const { mtimeMs } = await stat(path);
  const record: z.infer<typeof elfRecord> = { bytes: elf.length, mtime_ms: mtimeMs, sha256: sha256(elf) };
  await writeFileDurably(recordPath, JSON.stringify(record));
  return path;
}

/** Whether the file is what was written: by size and time, and by content when only the time differs. */
async function isWhole(path: string, recordPath: string): Promise<boolean> {
  try {
    const record = elfRecord.parse(JSON.parse((await readTextIfPresent(recordPath)) ?? "null"));
    const { size, mtimeMs } = await stat(path);
    if (size !== record.bytes) return false;
    return mtimeMs === record.mtime_ms || sha256(await readFile(path)) === record.sha256;
  } catch {
    // Absent or half-written: made again.
    return false;
  }
}

/** The ELF kernel that is packed in a bzImage. @throws PyroError `artifact_corrupt`, `dependency_missing` */
export async function unpackKernel(image: Buffer): Promise<Buffer> {
  const payload = payloadOf(image);
  // The kernel's build appends the size to every format that has none of its own; gzip ends with it anyway.
  const bytes = payload.length < 4 ? 0 : payload.readUInt32LE(payload.length - 4);
  if (bytes === 0 || bytes > KERNEL_BYTES_MAX) throw corrupt("it says no possible size");
  const elf = await decode(payload, bytes);
  if (elf.length !== bytes) throw corrupt(`it has ${elf.length} bytes instead of ${bytes}`);
  if (!ELF_MAGIC.equals(elf.subarray(0, ELF_MAGIC.length))) throw corrupt("it is no ELF");
  return elf;
}

/** By the magic numbers that Documentation/arch/x86/boot.rst names. */
async function decode(payload: Buffer, bytes: number): Promise<Buffer> {
  const magic = payload.toString("hex", 0, 4);
  const content = payload.subarray(0, -4);
  if (magic === LZ4_LEGACY_MAGIC.toString("hex")) return decodeLz4Legacy(content, bytes);
  if (magic.startsWith("1f8b")) return gunzip(payload);
  if (magic.startsWith("fd37")) return await decompress("xz", content);
  if (magic === "28b52ffd") return await decompress("zstd", content);
  throw new PyroError("artifact_corrupt", `the kernel is packed in a format that pyro does not know (${magic})`, {
    remedy: "use a kernel that is packed by LZ4, gzip, xz or zstd, or name its ELF with PYRO_KERNEL",
  });
}

function gunzip(payload: Buffer): Buffer {
  try {
    return gunzipSync(payload, { maxOutputLength: KERNEL_BYTES_MAX });
  } catch (cause) {
    throw new PyroError("artifact_corrupt", "the kernel cannot be unpacked: its gzip data is damaged", { cause });
  }
}

function payloadOf(image: Buffer): Buffer {
  if (image.length < 0x400 || image.readUInt16LE(0x206) < PAYLOAD_SINCE_VERSION) throw corrupt("it names no payload");
  const sectors = image[0x1f1] === 0 ? SETUP_SECTORS_DEFAULT : (image[0x1f1] ?? 0);
  const start = (sectors + 1) * SECTOR_BYTES + image.readUInt32LE(0x248);
  const end = start + image.readUInt32LE(0x24c);
  if (end > image.length) throw corrupt("its payload is longer than the file");
  return image.subarray(start, end);
}

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

function corrupt(why: string): PyroError {
  return new PyroError("artifact_corrupt", `the kernel cannot be unpacked: ${why}`, {
    remedy: "`pyro env pull --force` stores pyro's kernel again; correct PYRO_KERNEL if it names the kernel",
  });
}
