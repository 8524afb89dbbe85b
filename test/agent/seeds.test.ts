/** Seeds on the host's side, with the real reader of directories and machines that make nothing. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { VOLUME_BYTES } from "../../src/machine/machine-directory.ts";
import type { Workshop, WorkshopRequest } from "../../src/machine/machine.ts";
import { expandArchive } from "../../src/workspace/seeds/archive.ts";
import { notIgnored } from "../../src/workspace/seeds/git-files.ts";
import { listSource, packSource, type SeederOptions } from "../../src/workspace/seeds/seeder.ts";
import { findSource, warningsOf } from "../../src/workspace/seeds/seed-source.ts";
import { type HeldSeed, Seeds } from "../../src/workspace/seeds/seeds.ts";

const PROGRAM = join(process.cwd(), "dist", "host", "pyro-seed");
/** Longer ago than any file system's clock ticks. */
const LONG_AGO = new Date(Date.now() - 3_600_000);

const seeder: SeederOptions = { program: PROGRAM, signal: new AbortController().signal, onStep: () => undefined };
const machine: WorkshopRequest = {
  environment: "debian:12",
  vcpuCount: undefined,
  memoryMib: undefined,
  machine: undefined,
  requireIsolation: "any",
  signal: seeder.signal,
  onPull: () => undefined,
};

let root = "";
let source = "";
let made: string[] = [];
let inUse: ReadonlySet<string> | undefined;
let failure: PyroError | undefined;
let free = 0;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "pyro-seeds-"));
  source = join(root, "source");
  mkdirSync(source);
  writeFileSync(join(source, "file"), "content");
  [made, inUse, failure, free] = [[], new Set(), undefined, 100 * 1024 ** 3];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function seeds(): Seeds {
  return new Seeds({
    directory: join(root, "seeds"),
    machines: {
      work: async (_request: WorkshopRequest, workshop: Workshop) => {
        made.push(workshop.makes);
        if (failure !== undefined) throw failure;
        await Promise.resolve();
      },
    },
    program: async () => await Promise.resolve(PROGRAM),
    createVolume: async (path) => {
      writeFileSync(path, "");
      truncateSync(path, VOLUME_BYTES);
      await Promise.resolve();
    },
    copyVolume: async () => await Promise.resolve(),
    inUse: async () => await Promise.resolve(inUse),
    freeBytes: async () => await Promise.resolve(free),
    onNotice: (notice) => assert.fail(notice),
  });
}

const take = async (store: Seeds, from = source): Promise<HeldSeed> =>
  await store.of(await findSource(from, { ignoring: false }), { machine, onProgress: () => undefined });

const places = (): string[] => readdirSync(join(root, "seeds")).filter((name) => name !== "sources");

/** Waits until what was written now is told from what is written next; there is no event for a clock's tick. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 60));
}

test("seeds: a source that did not change is not read again, one that did gets another seed", async () => {
  const store = seeds();
  await settle();
  const first = await take(store);
  assert.deepEqual([first.record.entry_count, first.record.bytes, made], [1, 7, ["seed", "volume"]]);
  first.release();
  const again = await take(store);
  assert.deepEqual([again.record.id, made.length], [first.record.id, 2]);
  again.release();
  for (const change of [
    () => writeFileSync(join(source, "file"), "CONTENT"),
    () => chmodSync(join(source, "file"), 0o600),
    () => utimesSync(join(source, "file"), LONG_AGO, LONG_AGO),
    () => renameSync(join(source, "file"), join(source, "name")),
    () => mkdirSync(join(source, "empty")),
  ]) {
    change();
    await settle();
    const before = made.length;
    const next = await take(store);
    next.release();
    assert.equal(made.length, before + 2, change.toString());
    assert.deepEqual(places(), [next.record.id], "what nobody needs of the source is gone");
  }
});

test("seeds: the same content from another place is the same seed, and one that is being used is not removed", async () => {
  const store = seeds();
  utimesSync(join(source, "file"), LONG_AGO, LONG_AGO);
  const other = join(root, "other");
  mkdirSync(other);
  writeFileSync(join(other, "file"), "content");
  utimesSync(join(other, "file"), LONG_AGO, LONG_AGO);
  const [one, two] = await Promise.all([take(store), take(store, other)]);
  assert.deepEqual([one.record.id, made], [two.record.id, ["seed", "volume"]]);
  assert.deepEqual((await store.prune()).removed, []);
  one.release();
  assert.deepEqual((await store.prune()).removed, []);
  two.release();
  inUse = new Set([one.record.id]);
  assert.deepEqual((await store.prune()).removed, []);
  inUse = undefined;
  assert.deepEqual((await store.prune()).removed, [], "nobody knows what is needed");
  inUse = new Set();
  assert.deepEqual((await store.prune()).removed, [one.record.id]);
  assert.deepEqual(places(), []);
  await assert.rejects(store.imageOf(one.record.id), { code: "artifact_corrupt" });
});

test("seeds: what fails leaves nothing, and the next one is made", async () => {
  const store = seeds();
  failure = new PyroError("guest_failed", "the seed differs");
  await assert.rejects(take(store), { code: "guest_failed" });
  assert.deepEqual(places(), []);
  failure = undefined;
  (await take(store)).release();
  assert.equal(places().length, 1);
});

test("seeds: what is left of a server that was killed is removed, and its image is never taken for one", async () => {
  const store = seeds();
  const kept = await take(store);
  mkdirSync(join(root, "seeds", "0123456789ab.tmp"));
  await store.removeUnfinished();
  assert.deepEqual(places(), [kept.record.id]);
  truncateSync(join(root, "seeds", kept.record.id, "seed.raw"), 5);
  await assert.rejects(store.createVolume(kept.record.id, join(root, "volume")), { code: "artifact_corrupt" });
  kept.release();
  await settle();
  assert.notEqual((await take(store)).record.id, kept.record.id, "another image is another seed");
});

test("seeds: sockets are left out and told of, what looks like a secret is named, credentials stay on the host", async () => {
  const server = createServer().listen(join(source, "socket"));
  mkdirSync(join(source, ".git", "objects"), { recursive: true });
  writeFileSync(join(source, ".git", "HEAD"), "ref: refs/heads/main\n");
  writeFileSync(join(source, ".git", "config"), '[remote "o"]\n\turl = https://me:t0ken@host.example/x\n');
  writeFileSync(join(source, ".env"), "A=1");
  const stream = join(root, "stream");
  const content = await packSource({ directory: source, only: undefined }, stream, seeder);
  server.close();
  assert.deepEqual(content.skipped, ["socket (socket)"]);
  assert.deepEqual([content.secrets, content.redacted], [[".env"], [".git/config"]]);
  assert.ok(!readFileSync(stream).includes("t0ken"), "the token is not in the stream");
  assert.match(readFileSync(join(source, ".git", "config"), "utf8"), /t0ken/);
});

test("seeds: a worktree whose repository is in the source names it from where it is, one whose is elsewhere is told of", async () => {
  const [inside, away, sub] = ["inside", "away", "sub"].map((name) => join(source, "trees", name));
  for (const path of [inside, away, sub]) mkdirSync(path ?? assert.fail(), { recursive: true });
  const links = [
    `gitdir: ${source}/.git/worktrees/inside\n`,
    "gitdir: /repositories/away\n",
    "gitdir: ../../.git/modules/sub\n",
  ];
  for (const [index, path] of [inside, away, sub].entries())
    writeFileSync(join(path ?? "", ".git"), links[index] ?? "");
  const stream = join(root, "linked");
  const content = await packSource({ directory: source, only: undefined }, stream, seeder);
  assert.deepEqual(content.elsewhere, ["trees/away/.git (/repositories/away)"]);
  assert.deepEqual(warningsOf(content), [
    "git finds no repository in the copy for trees/away/.git (/repositories/away)",
  ]);
  const packed = readFileSync(stream);
  assert.ok(packed.includes("gitdir: ../../.git/worktrees/inside\n"));
  assert.ok(!packed.includes(source), "its place on the host is not in it");
  for (const kept of links.slice(1)) assert.ok(packed.includes(kept));
});

test("seeds: a source that is none is refused by what is wrong with it", async () => {
  const all = { ignoring: false };
  await assert.rejects(findSource("relative", all), { code: "invalid_argument" });
  await assert.rejects(findSource(join(root, "nowhere"), all), { code: "not_found" });
  await assert.rejects(findSource(join(source, "file"), all), { code: "invalid_argument" });
  await assert.rejects(listSource({ directory: join(root, "gone"), only: undefined }, seeder), { code: "not_found" });
});

test("seeds: an archive of a directory is the same seed, however it was made", async () => {
  const store = seeds();
  mkdirSync(join(source, "d"), { recursive: true });
  linkSync(join(source, "file"), join(source, "d", "hard"));
  symlinkSync("../../outside", join(source, "d", "soft"));
  writeFileSync(join(source, "d", "n".repeat(200)), "long");
  writeFileSync(join(source, "sparse"), "begin");
  truncateSync(join(source, "sparse"), 1024 ** 2);
  // GNU's own format has whole seconds.
  execFileSync("find", [source, "-exec", "touch", "--no-dereference", "--date=@1000000000", "{}", "+"]);
  const wanted = await take(store);
  for (const [name, ...options] of [
    ["gnu.tar", "--format=gnu"],
    ["pax.tar", "--format=posix"],
    ["sparse.tar", "--format=gnu", "--sparse"],
    ["sparse-0.0.tar", "--format=posix", "--sparse", "--sparse-version=0.0"],
    ["sparse-0.1.tar", "--format=posix", "--sparse", "--sparse-version=0.1"],
    ["sparse-1.0.tar", "--format=posix", "--sparse", "--sparse-version=1.0"],
    ["a.tar.gz", "--gzip"],
    ["a.tgz", "--gzip"],
    ["a.tar.zst", "--zstd"],
  ] as const) {
    const path = join(root, name);
    execFileSync("tar", ["--create", ...options, `--file=${path}`, "--directory", source, "."]);
    const held = await take(store, path);
    // Without its holes a file is the same in all but those.
    if (name.startsWith("sparse")) assert.equal(held.record.id, wanted.record.id, name);
    assert.deepEqual(
      [held.record.entry_count, held.record.bytes],
      [wanted.record.entry_count, wanted.record.bytes],
      name,
    );
    held.release();
  }
});

test("seeds: an archive is taken as a whole or not at all", async () => {
  const store = seeds();
  const refused = async (name: string, content: Uint8Array, says: RegExp): Promise<void> => {
    writeFileSync(join(root, name), content);
    await assert.rejects(take(store, join(root, name)), (error: unknown) => {
      assert.ok(PyroError.is(error) && error.code === "invalid_argument", `${name}: ${String(error)}`);
      assert.match(error.message, says);
      return true;
    });
    assert.deepEqual(places(), []);
  };
  execFileSync("tar", ["--create", "--absolute-names", `--file=${join(root, "absolute.tar")}`, join(source, "file")]);
  await refused("absolute.tar", readFileSync(join(root, "absolute.tar")), /absolute name/);
  execFileSync("tar", ["--create", "--gzip", `--file=${join(root, "whole.tgz")}`, "--directory", source, "."]);
  const whole = readFileSync(join(root, "whole.tgz"));
  await refused("cut.tgz", whole.subarray(0, whole.length - 20), /damaged|cut off/);
  await refused("text.tar", Buffer.alloc(2048, "no archive "), /checksum/);
  await refused("empty.tar", Buffer.alloc(0), /cut off/);
  await refused("cut.tar.zst", Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0]), /zstd/);
  assert.deepEqual(made, []);
});

test("seeds: what a few bytes become is bounded", async () => {
  const path = join(root, "bomb.tgz");
  writeFileSync(path, gzipSync(Buffer.alloc(8 * 1024 ** 2)));
  const options = { limitBytes: 1024 ** 2, signal: seeder.signal };
  await assert.rejects(expandArchive(path, join(root, "out"), options), { code: "resource_exhausted" });
});

test("seeds: a source that changes while it is read is an error, and leaves nothing", async () => {
  const store = seeds();
  for (let number = 0; number < 2000; number += 1) writeFileSync(join(source, `f${number}`), "x".repeat(5000));
  const writing = new AbortController();
  const writer = (async () => {
    for (let count = 0; !writing.signal.aborted; count += 1) {
      writeFileSync(join(source, "f1999"), String(count));
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  try {
    await assert.rejects(take(store), { code: "invalid_state" });
  } finally {
    writing.abort();
    await writer;
  }
  assert.deepEqual(places(), []);
  (await take(store)).release();
});

test("seeds: hard links are counted as names, and only the listed part of a source is read", async () => {
  mkdirSync(join(source, "dir"));
  linkSync(join(source, "file"), join(source, "dir", "link"));
  const { content } = await listSource({ directory: source, only: Buffer.from("dir/link\0") }, seeder);
  assert.equal(content.entries, 2);
  const packed = await packSource({ directory: source, only: undefined }, join(root, "stream"), seeder);
  assert.deepEqual([packed.entries, packed.bytes], [3, 7]);
});

test("seeds: extended attributes are in the stream, with access lists as Linux keeps them", async () => {
  const set =
    'my ($path, $name, $value) = @ARGV; syscall(188, $path, $name, $value, length $value, 0) == 0 or die "$!"';
  execFileSync("perl", ["-e", set, join(source, "file"), "user.note", "a value of its own"]);
  for (let number = 0; number < 40; number += 1)
    execFileSync("perl", ["-e", set, source, `user.attribute-${number}`, "on the root"]);
  mkdirSync(join(source, "dir"));
  for (let number = 0; number < 40; number += 1)
    execFileSync("perl", ["-e", set, join(source, "dir"), `user.attribute-${number}`, `number ${number}`]);
  await packSource({ directory: source, only: undefined }, join(root, "stream"), seeder);
  const stream = readFileSync(join(root, "stream"));
  for (const part of ["a value of its own", "user.attribute-39", "number 39"]) assert.ok(stream.includes(part), part);
  assert.ok(!stream.includes("on the root"));
});

/** Lists what is left of the source without what git ignores. */
const wanted = async (): Promise<string[]> =>
  (await notIgnored(source, seeder.signal)).toString().split("\0").filter(Boolean).toSorted();

test("seeds: what git ignores is left out, of a repository and of any other directory", async () => {
  mkdirSync(join(source, "build"));
  writeFileSync(join(source, "build", "output"), "");
  writeFileSync(join(source, "tracked.log"), "");
  writeFileSync(join(source, ".gitignore"), "build/\n*.log\n");
  assert.deepEqual(await wanted(), [".gitignore", "file"]);
  execFileSync("git", ["init", "--quiet", source]);
  execFileSync("git", ["-C", source, "add", "--force", "tracked.log"]);
  assert.deepEqual(await wanted(), [".git", ".gitignore", "file", "tracked.log"]);
  const store = seeds();
  const found = await findSource(source, { ignoring: true });
  const held = await store.of(found, { machine, onProgress: () => undefined });
  held.release();
  const all = await take(store);
  assert.equal(all.record.entry_count - held.record.entry_count, 2);
  all.release();
  await assert.rejects(
    (async () => {
      execFileSync("tar", ["--create", `--file=${join(root, "a.tar")}`, "--directory", source, "file"]);
      await findSource(join(root, "a.tar"), { ignoring: true });
    })(),
    { code: "invalid_argument" },
  );
});

test("seeds: a repository's configuration runs nothing on the host", async () => {
  const proof = join(root, "proof");
  const script = join(root, "script");
  writeFileSync(script, `#!/bin/sh\ntouch ${proof}\n`, { mode: 0o755 });
  const git = (...words: string[]): void => void execFileSync("git", ["-C", source, ...words], { stdio: "ignore" });
  git("init", "--quiet");
  git("add", ".");
  mkdirSync(join(root, "hooks"));
  for (const hook of ["post-index-change", "fsmonitor-watchman"]) {
    writeFileSync(join(root, "hooks", hook), `#!/bin/sh\ntouch ${proof}\n`, { mode: 0o755 });
  }
  git("config", "core.hooksPath", join(root, "hooks"));
  for (const name of ["core.fsmonitor", "core.sshCommand", "filter.x.clean", "core.pager", "core.editor"])
    git("config", name, script);
  writeFileSync(join(source, ".gitattributes"), "* filter=x\n");
  assert.deepEqual(await wanted(), [".git", ".gitattributes", "file"]);
  assert.ok(!existsSync(proof), "a program of the repository's was run");
  // The test would notice: git by itself runs what the configuration names.
  git("status");
  assert.ok(existsSync(proof));
});
