/** Sealed copies of templates, made by the built launcher: shared, bounded, and no descriptor is left. */
import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { mkdtemp, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { packageFile } from "../../src/host/package-files.ts";
import { sealFiles } from "../../src/vmm/sealed-files.ts";

const launcher = packageFile("launcher").path;
const directory = await mkdtemp(join(tmpdir(), "pyro-sealed-"));
after(async () => await rm(directory, { recursive: true, force: true }));

async function template(name: string): Promise<string[]> {
  const paths = ["state", "memory"].map((file) => join(directory, `${name}.${file}`));
  for (const path of paths) await writeFile(path, path);
  await truncate(paths[1] ?? "", 1024 ** 3);
  return paths;
}

/** Descriptors of this process that are sealed copies. */
const copies = (): number =>
  readdirSync("/proc/self/fd").filter((number) => {
    try {
      return fstatSync(Number(number)).nlink === 0;
    } catch {
      // The directory that is being read.
      return false;
    }
  }).length;

function text(descriptor: number): string {
  const buffer = Buffer.alloc(1024);
  return buffer.toString("utf8", 0, readSync(descriptor, buffer)).replaceAll("\0", "");
}

test("sealed: a hundred starts share one copy, each with an offset of its own, and leave no descriptor", async () => {
  const paths = await template("shared");
  const before = copies();
  const inodes = new Set<number>();
  for (let start = 0; start < 100; start += 1) {
    const sealed = await sealFiles(launcher, paths);
    const descriptors = await Promise.all(paths.map(async (_, index) => await sealed.open(index)));
    assert.deepEqual(descriptors.map(text), paths);
    inodes.add(fstatSync(descriptors[1] ?? -1).ino);
    for (const descriptor of descriptors) closeSync(descriptor);
    sealed.release();
    sealed.release();
  }
  assert.equal(inodes.size, 1);
  assert.equal(copies() - before, paths.length);
});

test("sealed: twenty at once make one copy", async () => {
  const paths = await template("at-once");
  const before = copies();
  const all = await Promise.all(Array.from({ length: 20 }, async () => await sealFiles(launcher, paths)));
  assert.equal(copies() - before, paths.length);
  for (const each of all) each.release();
});

test("sealed: copies that nobody uses are bounded; one that is replaced is another one", async () => {
  for (let round = 0; round < 5; round += 1) {
    const paths = await template(`round-${round}`);
    (await sealFiles(launcher, paths)).release();
  }
  const paths = await template("replaced");
  const first = await sealFiles(launcher, paths);
  await writeFile(`${paths[0]}.new`, "other");
  await rename(`${paths[0]}.new`, paths[0] ?? "");
  const second = await sealFiles(launcher, paths);
  const [old, now] = [await first.open(0), await second.open(0)];
  assert.deepEqual([text(old), text(now)], [paths[0], "other"]);
  for (const descriptor of [old, now]) closeSync(descriptor);
  first.release();
  second.release();
  // Closing is not waited for by those who release.
  const deadline = performance.now() + 5000;
  while (copies() > 4 && performance.now() < deadline) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(copies() <= 4, `${copies()} copies are held`);
});

test("sealed: no descriptor of a copy can be opened to alter it", async () => {
  const sealed = await sealFiles(launcher, await template("writing"));
  const descriptor = await sealed.open(1);
  const writable = openSync(`/proc/self/fd/${descriptor}`, "r+");
  await assert.rejects(writeFile(`/proc/self/fd/${writable}`, "x"), { code: "EPERM" });
  await assert.rejects(truncate(`/proc/self/fd/${writable}`, 1), { code: "EPERM" });
  for (const each of [descriptor, writable]) closeSync(each);
  sealed.release();
});

test("sealed: what cannot be sealed is a damaged template, and a launcher that answers nonsense is found out", async () => {
  await assert.rejects(sealFiles(launcher, [join(directory, "nowhere")]), { code: "artifact_corrupt" });
  await assert.rejects(sealFiles(launcher, [directory]), { code: "artifact_corrupt" });
  const paths = await template("nonsense");
  await assert.rejects(sealFiles("/bin/echo", paths), { code: "artifact_corrupt" });
  await assert.rejects(sealFiles("/nowhere/launcher", paths), { code: "dependency_missing" });
  assert.ok(await sealFiles(launcher, paths), "the next one tries again");
});
