/** Sources that are no good, read by the real reader: each is refused by name, or taken as a whole. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { VOLUME_BYTES } from "../../src/machine/machine-directory.ts";
import { checkRoom } from "../../src/workspace/seeds/seed-room.ts";
import { listSource, packArchive, packSource, type SeederOptions } from "../../src/workspace/seeds/seeder.ts";

const PROGRAM = join(process.cwd(), "dist", "host", "pyro-seed");
/** No user of this host's. */
const PLAIN_USER = 64_123;
const isRoot = process.getuid?.() === 0;

let root = "";
let source = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "pyro-sources-"));
  source = join(root, "source");
  mkdirSync(source);
  chmodSync(root, 0o755);
});
// Paths in it are longer than Node removes.
afterEach(() => execFileSync("rm", ["-rf", root]));

const seeder = (program = PROGRAM): SeederOptions => ({
  program,
  signal: new AbortController().signal,
  onStep: () => undefined,
});

/** pyro-seed as a user who may not read everything. */
function asPlainUser(): string {
  if (!isRoot) return PROGRAM;
  const script = join(root, "as-plain-user");
  const become = `setpriv --reuid=${PLAIN_USER} --regid=${PLAIN_USER} --clear-groups`;
  writeFileSync(script, `#!/bin/sh\nexec ${become} ${PROGRAM} "$@"\n`, { mode: 0o755 });
  return script;
}

test("seed sources: what a plain user cannot read is named, all of it, and the rest is not taken without it", async () => {
  mkdirSync(join(source, "open"));
  for (const name of ["a", "open/b"]) writeFileSync(join(source, name), "closed", { mode: 0o000 });
  mkdirSync(join(source, "shut"), { mode: 0o000 });
  // May be read, and not searched.
  mkdirSync(join(source, "listed"));
  writeFileSync(join(source, "listed", "c"), "");
  chmodSync(join(source, "listed"), 0o444);
  const says = (error: unknown): true => {
    assert.ok(PyroError.is(error) && error.code === "permission_denied", String(error));
    const named = ["a (Permission denied)", "open/b (Per", "shut (Per", "listed (Per"];
    assert.ok(error.message.startsWith("4 entries of "), error.message);
    for (const path of named) assert.ok(error.message.includes(path), `${path}: ${error.message}`);
    return true;
  };
  const options = seeder(asPlainUser());
  await assert.rejects(packSource({ directory: source, only: undefined }, join(root, "stream"), options), says);
  // Looking does not open files: it names the directories only.
  await assert.rejects(listSource({ directory: source, only: undefined }, options), { code: "permission_denied" });
  for (const name of ["shut", "listed"]) chmodSync(join(source, name), 0o755);
  for (let number = 0; number < 50; number += 1) writeFileSync(join(source, `n${number}`), "", { mode: 0o000 });
  const more = packSource({ directory: source, only: undefined }, join(root, "more"), options);
  await assert.rejects(more, { code: "permission_denied", message: /52 entries of .* and 32 more/ });
});

test("seed sources: sockets, fifos and devices are never opened, and are named", async (t) => {
  execFileSync("mkfifo", [join(source, "fifo")]);
  execFileSync("python3", [
    "-c",
    "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])",
    join(source, "s"),
  ]);
  if (isRoot) execFileSync("mknod", [join(source, "zero"), "c", "1", "5"]);
  else t.diagnostic("only root makes devices");
  writeFileSync(join(source, "file"), "content");
  // A fifo that is opened has its reader wait for ever, and /dev/zero has no end.
  const content = await packSource({ directory: source, only: undefined }, join(root, "stream"), seeder());
  const found = ["fifo (fifo)", "s (socket)", ...(isRoot ? ["zero (device)"] : [])];
  assert.deepEqual([content.skipped, content.skippedCount, content.entries], [found, found.length, 1]);
});

test("seed sources: one with more than a volume holds is refused before anything is made", async (t) => {
  assert.throws(() => checkRoom(VOLUME_BYTES, Number.MAX_SAFE_INTEGER, "/state"), { code: "resource_exhausted" });
  assert.throws(() => checkRoom(1024 ** 3, 1024 ** 3, "/state"), { code: "resource_exhausted" });
  if (!isRoot) return t.skip("only root mounts a file system of that size");
  const image = join(root, "image");
  writeFileSync(image, "");
  truncateSync(image, VOLUME_BYTES + 8 * 1024 ** 3);
  execFileSync("mkfs.ext4", ["-q", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", image]);
  execFileSync("mount", ["-o", "loop", image, source]);
  try {
    // Reserved and not written: it takes no room on the host.
    execFileSync("fallocate", ["--length", String(VOLUME_BYTES - 1024 ** 3), join(source, "large")]);
    const { content } = await listSource({ directory: source, only: undefined }, seeder());
    assert.throws(() => checkRoom(content.diskBytes, Number.MAX_SAFE_INTEGER, "/state"), /a volume holds 60\.0 GiB/);
  } finally {
    execFileSync("umount", [source]);
  }
});

test("seed sources: names of 255 bytes, paths of 4,000 and a sparse file of 15 TiB are read as they are", async () => {
  const deep = Array.from({ length: 16 }, (_, index) => `${index}`.padEnd(255, "d")).join("/");
  const dig = "for (split '/', shift) { mkdir $_; chdir $_ or die } open F, '>', 'f' or die; print F 'deep'";
  execFileSync("perl", ["-e", dig, deep], { cwd: source });
  writeFileSync(join(source, "sparse"), "begin");
  // As large as this file system lets it be.
  truncateSync(join(source, "sparse"), 15 * 1024 ** 4);
  const stream = join(root, "stream");
  const content = await packSource({ directory: source, only: undefined }, stream, seeder());
  assert.deepEqual([content.entries, content.bytes], [18, 15 * 1024 ** 4 + 4]);
  assert.ok(statSync(stream).size < 1024 ** 2, "holes take no room");
  const archive = join(root, "a.tar");
  execFileSync("tar", ["--create", "--sparse", "--format=posix", `--file=${archive}`, "--directory", source, "."]);
  const taken = await packArchive({ archive, name: "a.tar" }, join(root, "other"), seeder());
  assert.deepEqual([taken.entries, taken.bytes], [content.entries, content.bytes]);
});

/** Its header (ustar), which is all there is of it. */
function emptyFile(name: string): Buffer {
  const block = Buffer.alloc(512);
  block.write(name);
  block.write("0000644\u00000000000\u00000000000\u000000000000000\u000000000000000\u0000        0", 100);
  block.write("ustar\u000000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\u0000 `, 148);
  return block;
}

test("seed sources: a hundred thousand empty files in an archive are read within seconds", async () => {
  const archive = join(root, "many.tar");
  const blocks = Array.from({ length: 100_000 }, (_, number) => emptyFile(`file-${number}`));
  writeFileSync(archive, Buffer.concat([...blocks, Buffer.alloc(1024)]));
  const begin = performance.now();
  const content = await packArchive({ archive, name: "many.tar" }, join(root, "stream"), seeder());
  assert.equal(content.entries, 100_000);
  assert.ok(performance.now() - begin < 15_000, "within 15 s");
});

test("seed sources: directories that are exchanged for links while they are read lead nowhere else", async () => {
  const outside = join(root, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "secret"), "a secret of the host's");
  for (let number = 0; number < 200; number += 1) mkdirSync(join(source, `d${number}`));
  for (let number = 0; number < 200; number += 1) writeFileSync(join(source, `d${number}`, "secret"), "own");
  const racer = `use Fcntl; my ($s, $o) = @ARGV; symlink $o, "$s.link"; $| = 1; print "go\\n";
    while (1) { for (0..199) { syscall(316, -100, "$s/d$_", -100, "$s.link", 2); syscall(316, -100, "$s/d$_", -100, "$s.link", 2) } }`;
  const child = spawn("perl", ["-e", racer, source, outside], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => child.stdout.once("data", resolve));
  try {
    for (let round = 0; round < 30; round += 1) {
      const stream = join(root, `stream-${round}`);
      const packing = packSource({ directory: source, only: undefined }, stream, seeder());
      await packing.catch((error: unknown) => {
        assert.ok(PyroError.is(error) && error.code === "invalid_state", String(error));
      });
      assert.ok(!readFileSync(stream).includes("a secret of"), `round ${round}`);
    }
  } finally {
    child.kill("SIGKILL");
  }
});
