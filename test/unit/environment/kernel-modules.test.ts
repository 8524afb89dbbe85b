import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { PyroError } from "../../../src/contract/error.ts";
import { resolveModules } from "../../../src/environment/kernel-modules.ts";
import { elfSection, readModuleInfo } from "../../../src/environment/module-file.ts";
import { fakeModule, scratchDirectory } from "./scratch.ts";

const scratch = await scratchDirectory();
let made = 0;

async function moduleTree(
  modules: Record<string, readonly string[]>,
  builtin: readonly string[] = [],
): Promise<string> {
  const directory = join(scratch, `modules-${made++}`);
  await mkdir(join(directory, "kernel", "drivers"), { recursive: true });
  for (const [file, depends] of Object.entries(modules)) {
    const content = fakeModule(depends);
    await writeFile(join(directory, "kernel", "drivers", file), file.endsWith(".gz") ? gzipSync(content) : content);
  }
  await writeFile(join(directory, "modules.builtin"), builtin.map((name) => `kernel/${name}.ko\n`).join(""));
  return directory;
}

const namesOf = async (directory: string, wanted: readonly string[]): Promise<string[]> =>
  (await resolveModules(directory, wanted)).map((module) => module.name);

test("kernel modules: each comes after what it depends on, once", async () => {
  const directory = await moduleTree({
    "virtio-blk.ko": ["virtio", "virtio_ring"],
    "virtio_mmio.ko.gz": ["virtio", "virtio_ring"],
    "virtio.ko": ["virtio_ring"],
    "virtio_ring.ko": [],
  });
  assert.deepEqual(await namesOf(directory, ["virtio_blk", "virtio_mmio"]), [
    "virtio_ring",
    "virtio",
    "virtio_blk",
    "virtio_mmio",
  ]);
});

test("kernel modules: what is built in is neither inserted nor missing", async () => {
  const directory = await moduleTree({ "overlay.ko": [], "virtio_blk.ko": ["virtio"] }, ["ext4", "virtio"]);
  assert.deepEqual(await namesOf(directory, ["ext4", "virtio_blk", "overlay"]), ["virtio_blk", "overlay"]);
});

test("kernel modules: everything that is missing is named at once", async () => {
  const directory = await moduleTree({ "virtio_blk.ko": ["virtio"] });
  await assert.rejects(resolveModules(directory, ["virtio_blk", "squashfs"]), (failure: unknown) => {
    assert.ok(PyroError.is(failure));
    assert.equal(failure.code, "host_unsupported");
    assert.match(failure.message, /virtio, squashfs/);
    assert.match(failure.remedy ?? "", /PYRO_KERNEL_MODULES/);
    return true;
  });
});

test("kernel modules: a circle ends", async () => {
  const directory = await moduleTree({ "a.ko": ["b"], "b.ko": ["a"] });
  assert.deepEqual(await namesOf(directory, ["a"]), ["b", "a"]);
});

test("kernel modules: the order respects every dependency, for any acyclic graph", async () => {
  const graph = fc.array(fc.array(fc.nat(9), { maxLength: 4 }), { minLength: 1, maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(graph, async (edges) => {
      // Only towards lower numbers: no circles.
      const depends = edges.map((targets, index) =>
        targets.filter((target) => target < index).map((target) => `m${target}`),
      );
      const directory = await moduleTree(Object.fromEntries(depends.map((names, index) => [`m${index}.ko`, names])));
      const order = await namesOf(directory, [`m${edges.length - 1}`]);
      assert.equal(new Set(order).size, order.length);
      for (const name of order) {
        for (const dependency of depends[Number(name.slice(1))] ?? []) {
          assert.ok(order.indexOf(dependency) < order.indexOf(name), `${dependency} before ${name}`);
        }
      }
    }),
    { numRuns: 25 },
  );
});

test("module file: damage is an error of ours, never a crash or a hang", () => {
  const whole = fakeModule(["virtio"]);
  assert.deepEqual(readModuleInfo(whole).depends, ["virtio"]);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(whole.length - 1), fc.nat(255), (length, at, value) => {
      const damaged = Buffer.from(whole.subarray(0, length));
      if (at < length) damaged[at] = value;
      try {
        elfSection(damaged, ".modinfo");
      } catch (failure) {
        assert.ok(PyroError.is(failure) && failure.code === "artifact_corrupt", String(failure));
      }
    }),
  );
});
