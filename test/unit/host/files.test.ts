import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { isErrno, readTextIfPresent, writeFileDurably } from "../../../src/host/files.ts";

const directory = await mkdtemp(join(tmpdir(), "pyro-files-"));
after(async () => await rm(directory, { recursive: true }));

test("files: a durable write replaces the file whole, private, and leaves nothing beside it", async () => {
  const path = join(directory, "replaced");
  await writeFile(path, "old and longer", { mode: 0o644 });
  await writeFileDurably(path, "new");
  assert.equal(await readFile(path, "utf8"), "new");
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(directory), ["replaced"]);
});

test("files: a durable write that fails leaves the old content and no temporary file", async () => {
  const home = join(directory, "failing");
  await mkdir(join(home, "taken", "inside"), { recursive: true });
  // A directory cannot be replaced by a file.
  await assert.rejects(writeFileDurably(join(home, "taken"), "x"));
  assert.deepEqual(await readdir(home), ["taken"]);
  // A disk without room says so when the bytes are written.
  await assert.rejects(writeFileDurably(join(home, "missing", "file"), "x"), { code: "ENOENT" });
});

test("files: writers of one file at once leave one of their contents", async () => {
  const path = join(directory, "contended");
  const contents = Array.from({ length: 20 }, (_, index) => String(index).repeat(1000));
  await Promise.all(contents.map(async (content) => await writeFileDurably(path, content)));
  assert.ok(contents.includes(await readFile(path, "utf8")));
  assert.equal((await readdir(directory)).filter((name) => name.startsWith("contended")).length, 1);
});

test("files: a file that is not there is undefined, one that cannot be read is an error", async () => {
  assert.equal(await readTextIfPresent(join(directory, "nothing")), undefined);
  await assert.rejects(readTextIfPresent(directory), (failure: unknown) => isErrno(failure, "EISDIR"));
  await symlink("loop", join(directory, "loop"));
  await assert.rejects(readTextIfPresent(join(directory, "loop")), (failure: unknown) => isErrno(failure, "ELOOP"));
});
