import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { CATALOG } from "../../../src/environment/catalog.ts";
import { type EnvironmentDefinition, installDirectoryName, recipeDigest } from "../../../src/environment/definition.ts";
import { pruneEnvironments } from "../../../src/environment/prune.ts";
import type { HostPaths } from "../../../src/host/paths.ts";
import { pathsBelow, scratchDirectory } from "./scratch.ts";

const scratch = await scratchDirectory();
// Builds of this user that crashed are swept from here.
process.env["TMPDIR"] = scratch;
let made = 0;

const [wanted, other] = CATALOG as readonly [EnvironmentDefinition, EnvironmentDefinition];
const platform = (paths: HostPaths): string => join(paths.cache, "environments", "linux-x86_64");

/** A cache with one installed environment, its kernel and its one package. */
async function cacheWith(definition: EnvironmentDefinition, change: { recipe?: string } = {}): Promise<HostPaths> {
  const paths = pathsBelow(join(scratch, String(made++)));
  const directory = join(platform(paths), installDirectoryName(definition));
  const file = { file: "rootfs.squashfs", bytes: 1, sha256: "0".repeat(64), mtime_ms: 0 };
  const manifest = {
    manifest_version: 1,
    name: definition.name,
    version: definition.version,
    platform: "linux-x86_64",
    distribution: "debian",
    distribution_version: "12",
    recipe: change.recipe ?? recipeDigest(definition),
    source: "made up",
    installed_at: "2026-01-01T00:00:00Z",
    digest: file.sha256,
    rootfs: { ...file, format: "squashfs" },
    kernel: { ...file, file: "vmlinuz", release: "6.1.0", id: "6.1.0-kept" },
    packages: [{ name: "git", version: "1:2.39.5-0+deb12u3", architecture: "amd64" }],
  };
  await write(join(directory, "environment.json"), JSON.stringify(manifest));
  await write(join(paths.cache, "kernels", "6.1.0-kept", "vmlinuz"), "kernel");
  await write(join(paths.cache, "kernels", "6.1.0-old", "vmlinuz"), "older kernel");
  await write(join(paths.cache, "debs", "git_1%3a2.39.5-0+deb12u3_amd64.deb"), "package");
  await write(join(paths.cache, "debs", "git_1%3a2.39.5-0+deb12u1_amd64.deb"), "older package");
  return paths;
}

async function write(path: string, content: string): Promise<void> {
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, content);
}

const nobody = (): boolean => false;

test("prune: what is up to date stays, what nothing refers to goes", async () => {
  const paths = await cacheWith(wanted);
  const unknown = join(platform(paths), "gone_1-1.0.0");
  const interrupted = join(platform(paths), ".partial-abc");
  await write(join(unknown, "rootfs.squashfs"), "x".repeat(10_000));
  await mkdir(interrupted);
  const pruned = await pruneEnvironments({ paths, inUse: nobody });
  assert.deepEqual([...pruned.deletedDirectories].toSorted(), [interrupted, unknown].toSorted());
  assert.deepEqual(
    pruned.deletedFiles.map((path) => path.split("/").at(-1)),
    ["6.1.0-old", "git_1%3a2.39.5-0+deb12u1_amd64.deb"],
  );
  assert.ok(pruned.freedBytes >= 10_000);
  assert.ok(existsSync(join(platform(paths), installDirectoryName(wanted), "environment.json")));
  assert.ok(existsSync(join(paths.cache, "kernels", "6.1.0-kept")));
});

test("prune: an environment of an older recipe goes, unless a machine uses it", async () => {
  const paths = await cacheWith(other, { recipe: "older" });
  const directory = join(platform(paths), installDirectoryName(other));
  const first = await pruneEnvironments({ paths, inUse: (path) => path === directory });
  assert.deepEqual([first.deletedDirectories, first.keptInUse], [[], [directory]]);
  assert.ok(existsSync(join(paths.cache, "kernels", "6.1.0-kept")), "its kernel stays with it");
  const second = await pruneEnvironments({ paths, inUse: nobody });
  assert.deepEqual([second.deletedDirectories, second.keptInUse], [[directory], []]);
  assert.ok(!existsSync(join(paths.cache, "kernels", "6.1.0-kept")));
});

test("prune: --all takes what is up to date as well", async () => {
  const paths = await cacheWith(wanted);
  await pruneEnvironments({ paths, inUse: nobody, all: true });
  assert.ok(!existsSync(join(platform(paths), installDirectoryName(wanted))));
  assert.ok(!existsSync(join(paths.cache, "debs", "git_1%3a2.39.5-0+deb12u3_amd64.deb")));
});

test("prune: a build in progress keeps its directory, and its kernel and packages, which no manifest names yet", async () => {
  const { createPartial } = await import("../../../src/environment/partial.ts");
  const paths = await cacheWith(wanted);
  const partial = await createPartial(platform(paths), ".partial-");
  const pruned = await pruneEnvironments({ paths, inUse: nobody });
  assert.deepEqual([pruned.deletedDirectories, pruned.deletedFiles], [[], []]);
  assert.ok(existsSync(partial));
});

test("prune: when the user's own environments cannot be read, nothing is deleted", async () => {
  const paths = await cacheWith(wanted);
  const own = join(platform(paths), "mine-1.0.0", "environment.json");
  await write(own, "{}");
  await write(join(paths.config, "environments.toml"), "[environments.");
  await assert.rejects(pruneEnvironments({ paths, inUse: nobody }), { code: "invalid_argument" });
  assert.equal(await readFile(own, "utf8"), "{}");
});

test("prune: a boot archive goes when it is old and nobody boots from it", async () => {
  const paths = await cacheWith(wanted);
  const at = (name: string): string => join(paths.cache, "initramfs", name);
  for (const name of ["new.cpio", "old.cpio", "used.cpio"]) await write(at(name), "archive");
  for (const name of ["old.cpio", "used.cpio"]) await utimes(at(name), 1, 1);
  await pruneEnvironments({ paths, inUse: (path) => path === at("used.cpio") });
  assert.deepEqual(
    ["new.cpio", "old.cpio", "used.cpio"].map((name) => existsSync(at(name))),
    [true, false, true],
  );
});

test("prune: an empty cache has nothing to prune", async () => {
  const pruned = await pruneEnvironments({ paths: pathsBelow(join(scratch, "empty")), inUse: nobody });
  assert.deepEqual(pruned, { deletedDirectories: [], deletedFiles: [], freedBytes: 0, keptInUse: [] });
});
