/** What the tests of this folder share: directories of their own, and small stand-ins for large files. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import type { HostPaths } from "../../../src/host/paths.ts";

/** A directory that is removed after the file's tests. */
export async function scratchDirectory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "pyro-unit-"));
  after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** pyro's directories below `root`; nothing is created. */
export const pathsBelow = (root: string): HostPaths => ({
  cache: join(root, "cache"),
  state: join(root, "state"),
  runtime: join(root, "runtime"),
  config: join(root, "config"),
});

/**
 * A kernel module that declares `depends`: an ELF64 file with two sections, its names and `.modinfo`.
 * Offsets are those of elf(5).
 */
export function fakeModule(depends: readonly string[]): Buffer {
  const names = Buffer.from("\0.modinfo\0.shstrtab\0");
  const info = Buffer.from(`license=GPL\0depends=${depends.join(",")}\0name=fake\0`);
  const header = Buffer.alloc(64);
  header.write("\x7fELF\x02\x01\x01", "latin1");
  const sections = [
    { name: 1, at: 64, content: info },
    { name: 10, at: 64 + info.length, content: names },
  ];
  header.writeBigUInt64LE(BigInt(64 + info.length + names.length), 0x28);
  header.writeUInt16LE(64, 0x3a);
  header.writeUInt16LE(sections.length, 0x3c);
  header.writeUInt16LE(1, 0x3e);
  const table = sections.map(({ name, at, content }) => {
    const entry = Buffer.alloc(64);
    entry.writeUInt32LE(name, 0);
    entry.writeBigUInt64LE(BigInt(at), 0x18);
    entry.writeBigUInt64LE(BigInt(content.length), 0x20);
    return entry;
  });
  return Buffer.concat([header, info, names, ...table]);
}

/** The first bytes of a bzImage of that release. */
export function fakeKernel(release: string): Buffer {
  const image = Buffer.alloc(2048);
  image.writeUInt16LE(0xaa55, 0x1fe);
  image.write("HdrS", 0x202, "latin1");
  image.writeUInt16LE(0x300, 0x20e);
  image.write(`${release} (builder) #1\0`, 0x500, "latin1");
  return image;
}
