import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, readFile, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { elfRelease, type KernelImage, ownKernel } from "../../../src/environment/kernel.ts";
import { kernelFile, unpackKernel } from "../../../src/environment/kernel-elf.ts";
import { BOOT_MODULES } from "../../../src/environment/kernel-modules.ts";
import { fakeKernel, fakeModule, pathsBelow, scratchDirectory } from "./scratch.ts";

const scratch = await scratchDirectory();
const paths = pathsBelow(scratch);
const ELF = Buffer.concat([
  Buffer.of(0x7f, 0x45, 0x4c, 0x46),
  Buffer.from("Linux version 6.1.9-own (builder) ".repeat(50)),
]);

/** A bzImage with this payload, its place named by the header (Documentation/arch/x86/boot.rst). */
function bzImage(payload: Buffer): Buffer {
  const setup = Buffer.alloc(3 * 512);
  fakeKernel("6.1.9-own").copy(setup);
  setup[0x1f1] = 2;
  setup.writeUInt16LE(0x020f, 0x206);
  setup.writeUInt32LE(100, 0x248);
  setup.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([setup, Buffer.alloc(100), payload, Buffer.from("signature")]);
}

function withSize(packed: Buffer, bytes = ELF.length): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(bytes);
  return Buffer.concat([packed, size]);
}

function packedBy(program: string): Buffer {
  const { stdout, status } = spawnSync(program, ["--stdout"], { input: ELF });
  assert.equal(status, 0, `${program} packs`);
  return stdout;
}

/** An LZ4 frame of one block of literals only. */
function lz4(): Buffer {
  const rest = ELF.length - 15;
  const lengths = [...Array.from({ length: Math.floor(rest / 255) }, () => 255), rest % 255];
  const block = Buffer.concat([Buffer.of(0xf0, ...lengths), ELF]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(block.length);
  return Buffer.concat([Buffer.of(0x02, 0x21, 0x4c, 0x18), size, block]);
}

test("kernel ELF: found in a bzImage and unpacked, whatever it is packed by", async () => {
  assert.deepEqual(await unpackKernel(bzImage(gzipSync(ELF))), ELF, "gzip");
  assert.deepEqual(await unpackKernel(bzImage(withSize(lz4()))), ELF, "lz4");
  assert.deepEqual(await unpackKernel(bzImage(withSize(packedBy("xz")))), ELF, "xz");
  assert.deepEqual(await unpackKernel(bzImage(withSize(packedBy("zstd")))), ELF, "zstd");
});

test("kernel ELF: what cannot be unpacked is refused with the reason", async () => {
  const refused = async (image: Buffer, message: RegExp): Promise<void> =>
    await assert.rejects(unpackKernel(image), { code: "artifact_corrupt", message });
  await refused(Buffer.alloc(100), /names no payload/);
  await refused(bzImage(withSize(Buffer.from("BZh9 something"))), /format that pyro does not know \(425a6839\)/);
  await refused(bzImage(gzipSync(ELF)).subarray(0, 1700), /longer than the file/);
  await refused(bzImage(withSize(lz4(), ELF.length + 1)), /LZ4 data is damaged/);
  await refused(bzImage(withSize(packedBy("xz"), ELF.length - 1)), /instead of/);
  await refused(bzImage(gzipSync(Buffer.from("no ELF at all"))), /no ELF/);
  await refused(bzImage(withSize(lz4(), 0)), /no possible size/);
});

test("kernel ELF: unpacked once, again when the file was altered, and given as it is when it is an ELF", async () => {
  const path = join(scratch, "vmlinuz");
  await writeFile(path, bzImage(withSize(lz4())));
  const kernel: KernelImage = {
    path,
    format: "bzimage",
    release: "6.1.9-own",
    modulesDir: scratch,
    bytes: 1,
    sha256: "ab".repeat(32),
  };
  assert.equal(await kernelFile(kernel, "bzimage", paths), path);
  const unpacked = await kernelFile(kernel, "elf", paths);
  assert.deepEqual(await readFile(unpacked), ELF);
  const { ino } = await stat(unpacked);
  await utimes(unpacked, 1, 1);
  assert.equal((await stat(await kernelFile(kernel, "elf", paths))).ino, ino, "another time, the same content");
  await truncate(unpacked, 10);
  assert.deepEqual(await readFile(await kernelFile(kernel, "elf", paths)), ELF);
  await writeFile(unpacked, Buffer.alloc(ELF.length));
  assert.deepEqual(await readFile(await kernelFile(kernel, "elf", paths)), ELF);
  assert.equal(await kernelFile({ ...kernel, format: "elf" }, "elf", paths), path);
  await assert.rejects(kernelFile({ ...kernel, format: "elf" }, "bzimage", paths), {
    code: "invalid_argument",
    message: /QEMU boots bzImages/,
  });
});

test("kernel ELF: PYRO_KERNEL may name one; its release is the banner's", async () => {
  const modules = join(scratch, "modules");
  await mkdir(modules);
  for (const name of BOOT_MODULES) await writeFile(join(modules, `${name}.ko`), fakeModule([]));
  const path = join(scratch, "vmlinux");
  await writeFile(path, ELF);
  const kernel = await ownKernel({ PYRO_KERNEL: path });
  assert.deepEqual([kernel?.format, kernel?.release], ["elf", "6.1.9-own"]);
  assert.equal(elfRelease(Buffer.from("no banner")), undefined);
});
