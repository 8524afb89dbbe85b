/** Reads kernel module files: compressed or not, and what they say of themselves. */
import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { PyroError } from "../contract/error.ts";
import { decompress } from "./decompress.ts";

export interface ModuleInfo {
  /** Names of the modules whose symbols it uses. */
  readonly depends: readonly string[];
}

/** The module as the kernel's finit_module takes it without help: uncompressed ELF. */
export async function readModule(path: string): Promise<Buffer> {
  const content = await readFile(path);
  if (path.endsWith(".gz")) return gunzipSync(content);
  if (path.endsWith(".xz")) return await decompress("xz", content);
  if (path.endsWith(".zst")) return await decompress("zstd", content);
  return content;
}

/**
 * The fields of the `.modinfo` section that pyro uses.
 *
 * @throws PyroError `artifact_corrupt` when `elf` is no 64-bit little-endian ELF with that section.
 */
export function readModuleInfo(elf: Buffer): ModuleInfo {
  const section = elfSection(elf, ".modinfo");
  if (section === undefined) throw new PyroError("artifact_corrupt", "a kernel module has no .modinfo section");
  const fields = section.toString("latin1").split("\0");
  const depends = fields.filter((field) => field.startsWith("depends=")).flatMap((field) => field.slice(8).split(","));
  return { depends: depends.filter((name) => name !== "").map((name) => name.replaceAll("-", "_")) };
}

/** Content of a section of an ELF64 file (elf(5)): header at 0, section headers of `e_shentsize` bytes at `e_shoff`. */
export function elfSection(elf: Buffer, wanted: string): Buffer | undefined {
  const isElf64 = elf.length >= 64 && elf.readUInt32BE(0) === 0x7f45_4c46 && elf[4] === 2 && elf[5] === 1;
  if (!isElf64) return undefined;
  try {
    const offset = Number(elf.readBigUInt64LE(0x28));
    const [entryBytes, count, namesIndex] = [elf.readUInt16LE(0x3a), elf.readUInt16LE(0x3c), elf.readUInt16LE(0x3e)];
    const section = (index: number): { name: number; content: Buffer } => {
      const at = offset + index * entryBytes;
      const start = Number(elf.readBigUInt64LE(at + 0x18));
      return {
        name: elf.readUInt32LE(at),
        content: elf.subarray(start, start + Number(elf.readBigUInt64LE(at + 0x20))),
      };
    };
    const names = section(namesIndex).content;
    for (let index = 0; index < count; index++) {
      const { name, content } = section(index);
      if (names.toString("latin1", name, names.indexOf(0, name)) === wanted) return content;
    }
    return undefined;
  } catch (cause) {
    // A read beyond the end: the file is cut off.
    throw new PyroError("artifact_corrupt", "an ELF file is damaged", { cause });
  }
}
