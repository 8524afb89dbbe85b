import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { CATALOG } from "../../../src/environment/catalog.ts";
import { type EnvironmentDefinition, installDirectoryName } from "../../../src/environment/definition.ts";
import { buildEnvironment } from "../../../src/environment/install.ts";
import { findKept } from "../../../src/environment/kept.ts";
import { dropReplaced, pruneEnvironments } from "../../../src/environment/prune.ts";
import { kernelId } from "../../../src/environment/kernel.ts";
import { readKept } from "../../../src/environment/store.ts";
import { type HostPaths, installPlaces } from "../../../src/host/paths.ts";
import { pathsBelow, scratchDirectory } from "./scratch.ts";

const scratch = await scratchDirectory();
// Builds of this user that crashed are swept from here.
process.env["TMPDIR"] = scratch;
const [definition] = CATALOG as readonly [EnvironmentDefinition];
let made = 0;

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

async function file(path: string, content: string): Promise<{ path: string; bytes: number; sha256: string }> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  return { path, bytes: content.length, sha256: sha256(content) };
}

/** Builds the environment with this root file system where it always is. */
async function build(paths: HostPaths, root: string): Promise<{ installDir: string; digest: string }> {
  const directory = join(paths.cache, "environments", "linux-x86_64", installDirectoryName(definition));
  const modulesDir = join(paths.cache, "kernels", "6.1.0-1", "modules");
  await buildEnvironment({
    definition,
    directory,
    paths,
    source: {
      label: "made up",
      produce: async ({ directory: into }) => {
        const kernel = await file(join(modulesDir, "..", "vmlinuz"), "a kernel");
        return {
          rootfs: { ...(await file(join(into, "rootfs.squashfs"), root)), format: "squashfs" },
          kernel: { ...kernel, format: "bzimage", release: "6.1.0", modulesDir },
          packages: [],
        };
      },
      removeAbandoned: async () => await Promise.resolve([]),
    },
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  return { installDir: directory, digest: sha256(root) };
}

test("kept: what a newer build replaces stays beside it until nobody needs it", async () => {
  const paths = pathsBelow(join(scratch, String(made++)));
  const first = await build(paths, "first");
  const second = await build(paths, "second");
  const [current = "", kept = ""] = installPlaces(first);
  assert.equal(await readFile(join(current, "rootfs.squashfs"), "utf8"), "second");
  assert.equal(await readFile(join(kept, "rootfs.squashfs"), "utf8"), "first");
  assert.deepEqual((await findKept(first))?.directory, kept);
  assert.deepEqual((await findKept({ ...first, installDir: kept }))?.directory, kept, "known by where it is now");
  assert.deepEqual((await findKept(second))?.directory, current);
  assert.equal((await findKept({ ...first, digest: "c".repeat(64) }))?.directory, undefined);
  const inUse = (path: string): boolean => installPlaces(first).includes(path);
  const pruned = await pruneEnvironments({ paths, inUse });
  assert.deepEqual([pruned.deletedDirectories, pruned.keptInUse], [[], [kept]]);
  assert.equal(await dropReplaced({ paths, inUse }), 0);
  assert.ok((await dropReplaced({ paths, inUse: () => false })) > 0);
  assert.deepEqual(await readdir(dirname(current)), [installDirectoryName(definition)]);
});

test("kept: prune takes what nobody needs, and the current one stays", async () => {
  const paths = pathsBelow(join(scratch, String(made++)));
  const first = await build(paths, "first");
  const { installDir } = await build(paths, "second");
  const pruned = await pruneEnvironments({ paths, inUse: () => false });
  assert.deepEqual(pruned.deletedDirectories, [installPlaces(first)[1]]);
  assert.ok(existsSync(installDir));
});

test("kept: the same build again, and a damaged one, leave nothing beside the new one", async () => {
  const paths = pathsBelow(join(scratch, String(made++)));
  const first = await build(paths, "first");
  await build(paths, "first");
  assert.equal((await readdir(dirname(first.installDir))).length, 1);
  await writeFile(join(first.installDir, "rootfs.squashfs"), "spoilt");
  assert.equal(await findKept(first), undefined, "what is damaged is not started from");
  await build(paths, "second");
  await build(paths, "first");
  await build(paths, "second");
  assert.deepEqual((await readdir(dirname(first.installDir))).length, 3, "each is kept once");
});

test("kept: it is read without its definition, and one whose kernel is gone is as good as gone", async () => {
  const paths = pathsBelow(join(scratch, String(made++)));
  const first = await build(paths, "first");
  await build(paths, "second");
  assert.equal(await readKept(first, paths), undefined);
  const store = join(paths.cache, "kernels", kernelId({ release: "6.1.0", sha256: sha256("a kernel") }));
  const of = { package: "linux-image", package_sha256: sha256("package") };
  const record = { ...of, release: "6.1.0", bytes: 8, sha256: sha256("a kernel") };
  await file(join(store, "vmlinuz"), "a kernel");
  await file(join(store, "kernel.json"), JSON.stringify(record));
  const found = await readKept(first, paths);
  assert.deepEqual(
    [found?.name, found?.version, found?.directory, found?.rootfs.sha256],
    [definition.name, definition.version, installPlaces(first)[1], first.digest],
  );
  assert.equal(await readKept({ ...first, digest: "c".repeat(64) }, paths), undefined);
});
