import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { ensureInitramfs, type Initramfs, initramfsOfInputs } from "../../../src/environment/initramfs.ts";
import { bzImageRelease, ownKernel } from "../../../src/environment/kernel.ts";
import { BOOT_MODULES } from "../../../src/environment/kernel-modules.ts";
import { fakeKernel, fakeModule, pathsBelow, scratchDirectory } from "./scratch.ts";

const scratch = await scratchDirectory();
const modules = join(scratch, "modules");
const kernel = join(scratch, "vmlinuz");
await mkdir(modules);
for (const name of BOOT_MODULES)
  await writeFile(join(modules, `${name}.ko`), fakeModule(name === "virtio_blk" ? ["virtio"] : []));
await writeFile(join(modules, "virtio.ko"), fakeModule(["virtio_ring"]));
await writeFile(join(modules, "virtio_ring.ko"), fakeModule([]));
await writeFile(kernel, fakeKernel("6.12.9-own"));

test("own kernel: taken with the modules beside it, or those that are named", async () => {
  assert.equal(await ownKernel({}), undefined);
  assert.equal(await ownKernel({ PYRO_KERNEL: "" }), undefined);
  const beside = await ownKernel({ PYRO_KERNEL: kernel });
  assert.deepEqual([beside?.release, beside?.modulesDir, beside?.bytes], ["6.12.9-own", modules, 2048]);
  const named = await ownKernel({ PYRO_KERNEL: kernel, PYRO_KERNEL_MODULES: modules });
  assert.equal(named?.modulesDir, modules);
});

test("own kernel: refused with what is wrong", async () => {
  const text = join(scratch, "text");
  await writeFile(text, "not a kernel");
  await assert.rejects(ownKernel({ PYRO_KERNEL: text }), {
    code: "invalid_argument",
    message: /not an x86 Linux bzImage/,
  });
  await assert.rejects(ownKernel({ PYRO_KERNEL: join(scratch, "none") }), {
    code: "invalid_argument",
    message: /cannot be read/,
  });
  const empty = join(scratch, "empty");
  await mkdir(empty);
  await assert.rejects(ownKernel({ PYRO_KERNEL: kernel, PYRO_KERNEL_MODULES: empty }), {
    code: "host_unsupported",
    message: /lacks virtio_mmio, .*squashfs/,
  });
});

test("own kernel: no file content makes the reader fail", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => bzImageRelease(Buffer.from(bytes)) === undefined),
  );
});

test("initramfs: the agent as /init, modules numbered in the order in which they can be inserted", async () => {
  const paths = pathsBelow(scratch);
  const agentPath = join(scratch, "agent");
  await writeFile(agentPath, "#!agent");
  const options = { paths, kernel: { modulesDir: modules }, agentPath };
  const first = await ensureInitramfs(options);
  const archive = (await readFile(first.path)).toString("latin1");
  const inOrder = [...archive.matchAll(/modules\/(\d\d)-(\w+)\.ko\0/g)].map(([, number, name]) => `${number} ${name}`);
  assert.deepEqual(inOrder, [
    "00 virtio_mmio",
    "01 virtio_pci",
    "02 virtio_ring",
    "03 virtio",
    "04 virtio_blk",
    "05 virtio_console",
    "06 squashfs",
    "07 overlay",
  ]);
  assert.ok(archive.includes("init\0") && archive.includes("#!agent"));

  assert.deepEqual(await ensureInitramfs(options), first, "the same content is the same file");
  await writeFile(first.path, "cut off");
  assert.deepEqual(await ensureInitramfs(options), first);
  assert.equal((await readFile(first.path)).toString("latin1"), archive, "a damaged one is written again");

  await writeFile(agentPath, "#!newer agent");
  assert.notEqual((await ensureInitramfs(options)).path, first.path);
});

test("initramfs: compressed modules are stored as the kernel takes them", async () => {
  const compressed = join(scratch, "compressed");
  await mkdir(compressed);
  for (const name of [...BOOT_MODULES, "virtio", "virtio_ring"]) {
    const content = await readFile(join(modules, `${name}.ko`));
    await writeFile(join(compressed, `${name}.ko.xz`), execFileSync("xz", ["--stdout"], { input: content }));
  }
  const agentPath = join(scratch, "agent");
  const paths = pathsBelow(scratch);
  const plain = await ensureInitramfs({ paths, kernel: { modulesDir: modules }, agentPath });
  assert.deepEqual(await ensureInitramfs({ paths, kernel: { modulesDir: compressed }, agentPath }), plain);
});

test("initramfs: built once for the same inputs, again when it was changed, is gone, or the inputs are others", async () => {
  const paths = pathsBelow(join(scratch, "inputs"));
  const agentPath = join(scratch, "agent");
  await writeFile(agentPath, "#!agent");
  let built = 0;
  const build = async (): Promise<Initramfs> => {
    built += 1;
    return await ensureInitramfs({ paths, kernel: { modulesDir: modules }, agentPath });
  };
  const first = await initramfsOfInputs(paths, ["kernel", "agent"], build);
  assert.deepEqual(await initramfsOfInputs(paths, ["kernel", "agent"], build), first);
  assert.equal(built, 1);
  const spoilt: ((record: string) => Promise<void>)[] = [
    async () => await writeFile(first.path, "cut off"),
    async () => await rm(first.path),
    async (record) => await writeFile(record, "{"),
    async (record) => await rm(record),
  ];
  for (const [index, spoil] of spoilt.entries()) {
    const record = (await readdir(dirname(first.path))).find((name) => name.endsWith(".json"));
    await spoil(join(dirname(first.path), record ?? ""));
    assert.deepEqual(await initramfsOfInputs(paths, ["kernel", "agent"], build), first);
    assert.equal(built, index + 2);
  }
  await initramfsOfInputs(paths, ["kernel", "other agent"], build);
  assert.equal(built, 6);
});
