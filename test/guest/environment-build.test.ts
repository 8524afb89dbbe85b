/**
 * Environments built for real: packages from the mirror, images on disk, and what happens when a build is stopped,
 * killed, or runs out of disk. The four built-in ones go into the suite's cache; what is broken is broken in copies.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { PullProgress } from "../../src/contract/environment.ts";
import { CATALOG } from "../../src/environment/catalog.ts";
import { sha256OfFile } from "../../src/environment/hash.ts";
import { buildRootfsImage } from "../../src/environment/rootfs-image.ts";
import { inspectEnvironment, installEnvironment, readInstalled } from "../../src/environment/store.ts";
import { type HostPaths, hostPaths } from "../../src/host/paths.ts";
import { until } from "../support/guest-host.ts";

const SMALLEST = "debian:12-base";
const paths = hostPaths();
// On the cache's file system, so that packages can be shared with it by hard links.
const scratch = mkdtempSync(join(paths.cache, "test-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
// Whatever a build leaves outside the cache would be found here.
const builds = mkdtempSync("/var/tmp/pyro-test-");
process.env["TMPDIR"] = builds;
after(() => rmSync(builds, { recursive: true, force: true }));

/** A cache of its own that has the suite's downloaded packages. */
function cacheBeside(name: string): HostPaths {
  const cache = join(scratch, name);
  mkdirSync(cache);
  execFileSync("cp", ["--archive", "--link", join(paths.cache, "debs"), join(cache, "debs")]);
  return { ...paths, cache };
}

const installDirectory = (from: HostPaths): string =>
  join(from.cache, "environments", "linux-x86_64", "debian_12-base-1.0.0");

function assertNothingLeft(from: HostPaths): void {
  const platform = join(from.cache, "environments", "linux-x86_64");
  assert.deepEqual(existsSync(platform) ? readdirSync(platform) : [], []);
  assert.deepEqual(readdirSync(builds), []);
  assert.deepEqual(processesOf(builds), []);
}

/** Pids of processes that build below `directory`: it is the TMPDIR they were given. */
function processesOf(directory: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, "latin1").includes(`TMPDIR=${directory}/`);
    } catch {
      return false; // it ended meanwhile, or is somebody else's
    }
  });
}

test("environment build: the four environments, each with its programs", async () => {
  const programs: Record<string, string[]> = {
    "debian:12": ["usr/bin/bash", "usr/bin/git"],
    "debian:12-agent": [
      "usr/bin/node",
      "usr/bin/npm",
      "usr/bin/rg",
      "usr/bin/jq",
      "usr/bin/curl",
      "usr/bin/sudo",
      "usr/bin/patch",
    ],
    "debian:12-base": ["usr/bin/bash", "usr/bin/apt-get"],
    "debian:12-build": ["usr/bin/gcc", "usr/bin/make", "usr/bin/cmake", "usr/bin/python3", "usr/include/stdio.h"],
  };
  for (const { name } of CATALOG) {
    const { rootfs } = await installEnvironment(name, { paths });
    const listed = new Set(
      execFileSync("unsquashfs", ["-ls", "-dest", "", rootfs.path], { encoding: "utf8", maxBuffer: 2 ** 26 }).split(
        "\n",
      ),
    );
    for (const path of programs[name] ?? []) assert.ok(listed.has(`/${path}`), `${name} has /${path}`);
    const details = await inspectEnvironment(name, paths, { verify: true });
    assert.equal(details.installed, true);
    assert.equal(details.digest, rootfs.sha256);
  }
});

test("environment build: nothing of the machine that built it is in the image", async () => {
  const { rootfs } = await readInstalled("debian:12-agent", paths);
  const content = (path: string): string =>
    execFileSync("unsquashfs", ["-cat", rootfs.path, path], { encoding: "utf8" });
  assert.equal(
    content("etc/apt/sources.list"),
    [
      "deb http://deb.debian.org/debian bookworm main",
      "deb http://deb.debian.org/debian bookworm-updates main",
      "deb http://deb.debian.org/debian-security bookworm-security main",
      "",
    ].join("\n"),
  );
  assert.equal(content("etc/hostname"), "pyro\n");
  assert.equal(content("etc/resolv.conf"), "");
  assert.equal(content("etc/machine-id"), "");
  const listing = execFileSync("unsquashfs", ["-lln", "-dest", "", rootfs.path], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  }).split("\n");
  const files = listing.filter((line) => line.startsWith("-"));
  assert.deepEqual(
    files.filter((line) => / \/var\/(log|lib\/apt\/lists|cache\/apt)\//.test(line) && !line.endsWith("/lock")),
    [],
  );
  assert.deepEqual(
    files.filter((line) => /ssh_host_|pyro-build| \/(tmp|run|root\/\.ssh)\//.test(line)),
    [],
  );
  const [root] = listing.filter((line) => /^d.* \d\d:\d\d \/?$/.test(line));
  assert.match(root ?? "", /^drwxr-xr-x 0\/0 /);
  const owners = new Set(listing.map((line) => / (\d+)\/\d+ /.exec(line)?.[1]).filter((uid) => uid !== undefined));
  assert.deepEqual(
    [...owners].filter((uid) => uid !== "0" && uid !== "100"),
    [],
    "root and Debian's _apt",
  );
});

test("environment build: of two callers one may leave; when both have left, nothing is left", async () => {
  const own = cacheBeside("aborted");
  const [first, second] = [new AbortController(), new AbortController()];
  const heard: PullProgress[] = [];
  const staying = installEnvironment(SMALLEST, {
    paths: own,
    signal: second.signal,
    onProgress: (progress) => {
      heard.push(progress);
      if (progress.phase === "packages") first.abort();
      if (progress.detail === "extract") second.abort();
    },
  });
  const leaving = installEnvironment(SMALLEST, { paths: own, signal: first.signal });
  await assert.rejects(leaving, { code: "cancelled" });
  await assert.rejects(staying, { code: "cancelled" });
  assert.equal(heard[0]?.phase, "install");
  assert.ok(
    heard.some(({ detail }) => detail === "extract"),
    "the build went on for the one who stayed",
  );
  assertNothingLeft(own);
});

test("environment build: kill -9 in the middle ends what it started, and the next build sweeps the rest", async () => {
  const own = cacheBeside("killed");
  const store = fileURLToPath(new URL("../../src/environment/store.js", import.meta.url));
  const script = `
    const { installEnvironment } = await import(${JSON.stringify(store)});
    const onProgress = (progress) => { if (progress.detail === "extract") process.stdout.write("extract"); };
    await installEnvironment("${SMALLEST}", { paths: ${JSON.stringify(own)}, onProgress });`;
  const builder = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(builder.stdout, "data");
  builder.kill("SIGKILL");
  await once(builder, "exit");
  await until(() => processesOf(builds).length === 0, 5000, "the build's processes are gone");
  const abort = new AbortController();
  const next = installEnvironment(SMALLEST, {
    paths: own,
    signal: abort.signal,
    onProgress: ({ phase }) => phase === "packages" && abort.abort(),
  });
  await assert.rejects(next, { code: "cancelled" });
  assertNothingLeft(own);
});

test("environment build: a cut image and a package altered in the cache are found, and a pull mends both", async () => {
  const own = cacheBeside("damaged");
  cpSync(installDirectory(paths), installDirectory(own), { recursive: true, preserveTimestamps: true });
  cpSync(join(paths.cache, "kernels"), join(own.cache, "kernels"), { recursive: true, preserveTimestamps: true });
  assert.equal((await readInstalled(SMALLEST, own)).rootfs.path, join(installDirectory(own), "rootfs.squashfs"));

  truncateSync(join(installDirectory(own), "rootfs.squashfs"), 1_000_000);
  await assert.rejects(readInstalled(SMALLEST, own), { code: "artifact_corrupt", remedy: `pyro env pull ${SMALLEST}` });
  const debs = join(own.cache, "debs");
  const altered = join(
    debs,
    readdirSync(debs).find((name) => name.startsWith("hostname_"))!,
  );
  const [right, length] = [await sha256OfFile(altered), readFileSync(altered).length];
  rmSync(altered); // it is shared with the suite's cache
  writeFileSync(altered, Buffer.alloc(length, 1));

  const mended = await installEnvironment(SMALLEST, { paths: own });
  assert.equal(await sha256OfFile(mended.rootfs.path), mended.manifest.digest);
  assert.equal(await sha256OfFile(altered), right, `${basename(altered)} was fetched again`);
  assert.deepEqual(readdirSync(builds), []);
});

test("environment build: no room for it is said before anything is downloaded, with how much it needs", async (t) => {
  const small = { ...paths, cache: mountSmall(t, "too-small", "64m") };
  if (small.cache === "") return t.skip("mounting a small file system needs root");
  await assert.rejects(installEnvironment(SMALLEST, { paths: small }), {
    code: "resource_exhausted",
    message: /needs \d+ MiB of free space and has \d+ MiB/,
  });
  assertNothingLeft(small);
  assert.equal(existsSync(join(small.cache, "debs")), false);
});

test("environment build: a disk that fills while the image is written is named", async (t) => {
  const directory = mountSmall(t, "fills", "1m");
  if (directory === "") return t.skip("mounting a small file system needs root");
  const noise = join(scratch, "noise");
  execFileSync("dd", ["if=/dev/urandom", `of=${noise}`, "bs=1M", "count=4", "status=none"]);
  const tar = Readable.from([
    execFileSync("tar", ["--create", "--directory", scratch, "noise"], { maxBuffer: 2 ** 24 }),
  ]);
  const built = buildRootfsImage(tar, join(directory, "rootfs.squashfs"), {
    signal: new AbortController().signal,
    onBytes: () => undefined,
  });
  await assert.rejects(built, { code: "resource_exhausted" });
});

/** A file system in memory of that size, unmounted after the test; an empty path where only root may. */
function mountSmall(t: { after: (release: () => void) => void }, name: string, size: string): string {
  const directory = join(scratch, name);
  mkdirSync(directory);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", directory], { stdio: "ignore" });
  } catch {
    return "";
  }
  t.after(() => execFileSync("umount", [directory]));
  return directory;
}
