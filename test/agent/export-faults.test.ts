/** What goes wrong on the host while an export is made there: the target is the old one or the new one, and nothing is left beside it. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { exportTo } from "../../src/workspace/files/export.ts";
import { exportParts, giving, inPieces, placeIn, SEEDER, streamOf } from "../support/given-trees.ts";
import { lookAt } from "../support/trees.ts";

const MIB = 1024 ** 2;
const FRESH = ".pyro-export-0123456789abcdef";
const PIECES = 12;
const LATE_KILLS = 20;
const DEADLINE_MS = 10_000;

let root = "";
const at = (...names: string[]): string => join(root, ...names);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "pyro-exports-"));
  mkdirSync(at("source", "tree", "deep", "er"), { recursive: true });
  for (const name of ["a", "deep/b", "deep/er/c"]) writeFileSync(at("source", "tree", name), name.repeat(4000));
  mkdirSync(at("out"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const whole = (): Buffer => streamOf(at("source"));
const order = (target: string, overwrite = true): Parameters<typeof exportTo>[0] => ({
  paths: [Buffer.from("tree")],
  target,
  overwrite,
  umask: 0o022,
});

const refused = async (work: Promise<unknown>, code: string): Promise<PyroError> => {
  const failure = await work.then(
    () => assert.fail(`it is not refused with ${code}`),
    (reason: unknown) => reason,
  );
  assert.ok(PyroError.is(failure) && failure.code === code, String(failure));
  return failure;
};

/** An old target: a directory with files of its own. */
function old(): string {
  rmSync(at("out"), { recursive: true });
  mkdirSync(at("out", "target", "old"), { recursive: true });
  writeFileSync(at("out", "target", "old", "file"), "old");
  return lookAt(at("out", "target"));
}

/** A writer of the tree to the target, and its end. */
function unpacking(): { child: ChildProcess; closed: Promise<unknown> } {
  const child = spawn(SEEDER, ["unpack", at("out", "target"), FRESH, "+tree", "--overwrite"], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  // One that has ended takes no more.
  child.stdin.on("error", () => undefined);
  return { child, closed: once(child, "close") };
}

async function write(child: ChildProcess, piece: Buffer): Promise<void> {
  await new Promise<void>((resolve) => child.stdin?.write(piece, () => resolve()));
}

test("export faults: pyro-seed killed at any moment leaves the old target or the new one, and what it left is removed", async () => {
  const wanted = lookAt(at("source", "tree"));
  const place = placeIn(at("state"));
  const found = { old: 0, new: 0, left: 0 };
  for (let count = 0; count <= PIECES + LATE_KILLS; count += 1) {
    const before = old();
    await place.remember(at("out"), FRESH);
    const { child, closed } = unpacking();
    for (const piece of inPieces(whole(), PIECES).slice(0, count)) await write(child, piece);
    if (count > PIECES) {
      child.stdin?.end();
      // Later and later in what it does when it has everything.
      const until = performance.now() + count - PIECES;
      while (performance.now() < until && child.exitCode === null)
        await new Promise((resolve) => setImmediate(resolve));
    }
    child.kill("SIGKILL");
    await closed;
    const now = lookAt(at("out", "target"));
    assert.ok(now === before || now === wanted, `after ${count} pieces it is neither`);
    found[now === wanted ? "new" : "old"] += 1;
    found.left += existsSync(at("out", FRESH)) ? 1 : 0;
    await place.discard(at("out"), FRESH);
    assert.deepEqual(readdirSync(at("out")), ["target"]);
    assert.equal(lookAt(at("out", "target")), now);
    assert.deepEqual(readdirSync(at("state", "copying")), []);
  }
  assert.ok(found.old > PIECES && found.left > 0, JSON.stringify(found));
});

test("export faults: the next server removes what a killed one left, and not what is still being made", async () => {
  const before = old();
  const first = placeIn(at("state"));
  await first.remember(at("out"), FRESH);
  mkdirSync(at("state", "copying", "sync-abc"));
  writeFileSync(at("state", "copying", "pull-abc.bundle"), "part");
  const { child, closed } = unpacking();
  const [one, ...rest] = inPieces(whole(), 2);
  await write(child, one ?? Buffer.alloc(0));
  await exists(at("out", FRESH, "tree", "deep"));
  const notices: string[] = [];
  const second = placeIn(at("state"), (notice) => notices.push(notice));
  await second.removeLeft();
  await second.discard(at("out"), FRESH);
  await second.close();
  assert.ok(existsSync(at("out", FRESH, "tree", "deep")), "it is being made");
  assert.deepEqual(readdirSync(at("state", "copying")), [`export-${FRESH}.json`]);
  // Its maker has lost its server, and has all it needs: it is whole.
  for (const piece of rest) await write(child, piece);
  child.stdin?.end();
  await closed;
  assert.equal(lookAt(at("out", "target")), lookAt(at("source", "tree")));
  assert.notEqual(lookAt(at("out", "target")), before);
  // And one that nobody makes any more.
  mkdirSync(at("out", FRESH, "d".repeat(200)), { recursive: true });
  const third = placeIn(at("state"), (notice) => notices.push(notice));
  await third.removeLeft();
  await gone(at("state", "copying", `export-${FRESH}.json`));
  assert.deepEqual([readdirSync(at("out")), notices], [["target"], []]);
});

async function exists(path: string): Promise<void> {
  const end = performance.now() + DEADLINE_MS;
  while (!existsSync(path)) {
    assert.ok(performance.now() < end, `${path} is not made`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function gone(path: string): Promise<void> {
  const end = performance.now() + DEADLINE_MS;
  while (existsSync(path)) {
    assert.ok(performance.now() < end, `${path} stays`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("export faults: a full disk is said, the old target stays and nothing is left on it", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("only root can mount a small disk");
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m,nr_inodes=12", "tmpfs", at("out")]);
  try {
    const target = at("out", "target");
    writeFileSync(target, "old");
    writeFileSync(at("source", "tree", "large"), Buffer.alloc(4 * MIB, 1));
    const full = async (): Promise<void> => {
      const { message, remedy } = await refused(
        exportTo(order(target), exportParts(giving(inPieces(whole(), 9)), at("state"))),
        "resource_exhausted",
      );
      assert.match(message, /No space left on device/);
      assert.match(remedy ?? "", /free some space/);
      assert.equal(readFileSync(target, "utf8"), "old");
      assert.deepEqual(readdirSync(at("out")), ["target"]);
    };
    await full();
    rmSync(at("source", "tree", "large"));
    // No inode is left, though there is room.
    for (let count = 0; count < 12; count += 1) writeFileSync(at("source", "tree", `f${count}`), "");
    await full();
    const deep = exportTo(
      order(at("out", ..."abcdefghijklmn".split(""), "x")),
      exportParts(giving([whole()]), at("state")),
    );
    await refused(deep, "resource_exhausted");
  } finally {
    execFileSync("umount", [at("out")]);
  }
});

test("export faults: directories that lead to the target are made as the caller's umask says, and go again with an export that fails", async () => {
  const target = at("out", "new", "deeper", "target");
  const failing = exportParts(giving([whole().subarray(0, 100)]), at("state"));
  await refused(exportTo(order(target), failing), "guest_failed");
  assert.deepEqual(readdirSync(at("out")), []);
  const mode = (...names: string[]): string => (statSync(at("out", ...names)).mode & 0o7777).toString(8);
  await exportTo({ ...order(target), umask: 0o027 }, exportParts(giving([whole()]), at("state")));
  assert.deepEqual([mode("new"), mode("new", "deeper")], ["750", "750"]);
  // Of several the directory is the caller's as well; what is in it is as it was.
  const several = { ...order(at("out", "several")), paths: [Buffer.from("tree"), Buffer.from("other")], umask: 0o002 };
  await exportTo(several, exportParts(giving([whole()]), at("state")));
  assert.deepEqual([mode("several"), mode("several", "tree", "a")], ["775", "644"]);
  assert.deepEqual(readdirSync(at("state", "copying")), []);
});

test("export faults: whatever the target is, it is replaced itself, never written to or followed", async () => {
  const target = at("out", "target");
  mkdirSync(at("out", "beside"));
  const socket = createServer();
  for (const make of [
    () => symlinkSync(at("out", "beside"), target),
    () => symlinkSync(at("out", "nowhere"), target),
    () => symlinkSync("target", target),
    () => execFileSync("mkfifo", [target]),
    async () => await once(socket.listen(target), "listening"),
    () => void (process.getuid?.() === 0 && execFileSync("mknod", [target, "c", "1", "3"])),
    () => mkdirSync(join(target, "full", "of"), { recursive: true }),
  ]) {
    await Promise.resolve(make());
    if (existsSync(target) || readdirSync(at("out")).includes("target")) {
      await refused(exportTo(order(target, false), exportParts(giving([whole()]), at("state"))), "already_exists");
    }
    await exportTo(order(target), exportParts(giving([whole()]), at("state")));
    assert.ok(lstatSync(target).isDirectory());
    assert.equal(lookAt(target), lookAt(at("source", "tree")));
    assert.deepEqual(readdirSync(at("out")).toSorted(), ["beside", "target"]);
    assert.deepEqual(readdirSync(at("out", "beside")), []);
    rmSync(target, { recursive: true });
  }
  socket.close();
});
