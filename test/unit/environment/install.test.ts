import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { CATALOG } from "../../../src/environment/catalog.ts";
import { buildEnvironment, type Installation } from "../../../src/environment/install.ts";
import { checkIntegrity } from "../../../src/environment/integrity.ts";
import { readManifest } from "../../../src/environment/manifest.ts";
import type { EnvironmentBuild, ProducedEnvironment } from "../../../src/environment/source.ts";
import { pathsBelow, scratchDirectory } from "./scratch.ts";

const scratch = await scratchDirectory();
let made = 0;

const [definition] = CATALOG;
assert.ok(definition !== undefined);

/** A source whose image is a few bytes; `before` runs in the middle of the build. */
function installation(before: (build: EnvironmentBuild) => Promise<void> = async () => undefined): Installation {
  const paths = pathsBelow(join(scratch, String(made++)));
  const directory = join(paths.cache, "environments", "linux-x86_64", "debian_12-1.0.0");
  const write = async (path: string, content: string): Promise<{ path: string; bytes: number; sha256: string }> => {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    return { path, bytes: content.length, sha256: createHash("sha256").update(content).digest("hex") };
  };
  const produce = async (build: EnvironmentBuild): Promise<ProducedEnvironment> => {
    await mkdir(join(build.directory, "work"));
    build.onProgress({ phase: "packages", percent: 50 });
    await before(build);
    const rootfs = await write(join(build.directory, "rootfs.squashfs"), "a root file system");
    const kernel = await write(join(paths.cache, "kernels", "6.1.0-1", "vmlinuz"), "a kernel");
    return {
      rootfs: { ...rootfs, format: "squashfs" },
      kernel: {
        ...kernel,
        format: "bzimage",
        release: "6.1.0",
        modulesDir: join(paths.cache, "kernels", "6.1.0-1", "modules"),
      },
      packages: [{ name: "git", version: "1:2.39.5", architecture: "amd64" }],
    };
  };
  return {
    definition: definition!,
    directory,
    paths,
    source: { label: "made up", produce, removeAbandoned: async () => [] },
    signal: new AbortController().signal,
    onProgress: () => undefined,
  };
}

const namesBeside = async (directory: string): Promise<string[]> => await readdir(dirname(directory)).catch(() => []);

test("install: what was produced is in its place, described by a manifest", async () => {
  const phases: string[] = [];
  const wanted = { ...installation(), onProgress: ({ phase }: { phase: string }) => phases.push(phase) };
  await buildEnvironment(wanted);
  assert.deepEqual((await readdir(wanted.directory)).toSorted(), ["environment.json", "rootfs.squashfs", "vmlinuz"]);
  const manifest = await readManifest(wanted.directory);
  assert.equal(manifest?.digest, createHash("sha256").update("a root file system").digest("hex"));
  assert.equal(manifest.source, "made up");
  assert.deepEqual(manifest.packages, [{ name: "git", version: "1:2.39.5", architecture: "amd64" }]);
  assert.deepEqual(phases, ["packages", "verify"]);
  assert.deepEqual(await namesBeside(wanted.directory), ["debian_12-1.0.0"]);
});

test("install: a failure in the middle leaves nothing, and what was installed before stays", async () => {
  const first = installation();
  await buildEnvironment(first);
  const failing = {
    ...first,
    source: {
      ...first.source,
      produce: installation(async () => await Promise.reject(new Error("broken mirror"))).source.produce,
    },
  };
  await assert.rejects(buildEnvironment(failing), /broken mirror/);
  assert.deepEqual(await namesBeside(first.directory), ["debian_12-1.0.0"]);
  assert.ok((await readManifest(first.directory)) !== undefined);
});

test("install: an abort after the last step of the source leaves nothing", async () => {
  const abort = new AbortController();
  const wanted = { ...installation(async () => abort.abort()), signal: abort.signal };
  await assert.rejects(buildEnvironment(wanted), { code: "cancelled" });
  assert.deepEqual(await namesBeside(wanted.directory), []);
});

test("install: what a crash left is swept, what another process is making is not", async () => {
  const wanted = installation();
  const parent = dirname(wanted.directory);
  const { startTicks } = (await import("../../../src/host/process-identity.ts")).identifyProcess(process.ppid)!;
  const namespace = /\d+/.exec(await import("node:fs/promises").then((fs) => fs.readlink("/proc/self/ns/pid")))?.[0];
  const alive = `.partial-${namespace}-${process.ppid}-${startTicks}-aaaaaa`;
  const dead = `.partial-${namespace}-${process.ppid}-1-bbbbbb`;
  for (const name of [alive, dead, ".partial-of-some-older-version"])
    await mkdir(join(parent, name), { recursive: true });
  await buildEnvironment(wanted);
  assert.deepEqual((await namesBeside(wanted.directory)).toSorted(), [alive, "debian_12-1.0.0"]);
});

test("install: building again replaces what was there", async () => {
  const wanted = installation();
  await mkdir(wanted.directory, { recursive: true });
  await writeFile(join(wanted.directory, "rootfs.squashfs"), "damaged");
  await buildEnvironment(wanted);
  assert.equal(await readFile(join(wanted.directory, "rootfs.squashfs"), "utf8"), "a root file system");
  assert.deepEqual(await namesBeside(wanted.directory), ["debian_12-1.0.0"]);
});

test("integrity: each kind of damage is found and its file named", async () => {
  const wanted = installation();
  await buildEnvironment(wanted);
  const manifest = (await readManifest(wanted.directory))!;
  const image = join(wanted.directory, "rootfs.squashfs");
  const check = async (depth: "quick" | "full"): Promise<void> =>
    await checkIntegrity(wanted.directory, manifest, depth);
  await check("full");

  const { atime, mtime } = await stat(image);
  await writeFile(image, "A root file system");
  await assert.rejects(check("quick"), { code: "artifact_corrupt", message: /rootfs\.squashfs has another content/ });
  await utimes(image, atime, mtime);
  await check("quick");
  await assert.rejects(check("full"), { code: "artifact_corrupt", remedy: `pyro env pull ${definition.name}` });

  await truncate(image, 5);
  await assert.rejects(check("quick"), { code: "artifact_corrupt", message: /has 5 bytes instead of 18/ });
});

test("integrity: a file that was only touched is right, and is not read again", async () => {
  const wanted = installation();
  await buildEnvironment(wanted);
  const manifest = (await readManifest(wanted.directory))!;
  const image = join(wanted.directory, "rootfs.squashfs");
  await utimes(image, new Date(), new Date());
  await checkIntegrity(wanted.directory, manifest, "quick");
  assert.equal((await stat(image)).mtimeMs, manifest.rootfs.mtime_ms);
});

test("manifest: one that cannot be understood is an error, none is none", async () => {
  const wanted = installation();
  assert.equal(await readManifest(wanted.directory), undefined);
  await mkdir(wanted.directory, { recursive: true });
  for (const text of ["", "{", "{}", `{"manifest_version": 2}`]) {
    await writeFile(join(wanted.directory, "environment.json"), text);
    await assert.rejects(readManifest(wanted.directory), { code: "artifact_corrupt" });
  }
});
