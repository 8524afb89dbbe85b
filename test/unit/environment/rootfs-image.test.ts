import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { sha256OfFile } from "../../../src/environment/hash.ts";
import { buildRootfsImage } from "../../../src/environment/rootfs-image.ts";
import { ownRootDirectory } from "../../../src/environment/squashfs-root.ts";
import { scratchDirectory } from "./scratch.ts";

const scratch = await scratchDirectory();
const tree = join(scratch, "tree");
await mkdir(join(tree, "bin"), { recursive: true });
await writeFile(join(tree, "bin", "tool"), "x".repeat(100_000));
await chmod(join(tree, "bin", "tool"), 0o755);
const asRoot = ["--owner=0", "--group=0", "--mtime=@1000000000"];
const tar = execFileSync("tar", ["--create", ...asRoot, "--directory", tree, "."]);

const build = async (name: string, input: Readable): ReturnType<typeof buildRootfsImage> =>
  await buildRootfsImage(input, join(scratch, name), {
    signal: new AbortController().signal,
    onBytes: () => undefined,
  });

const list = (path: string): string => execFileSync("unsquashfs", ["-lln", "-dest", "", path], { encoding: "utf8" });

test("rootfs image: the tree of the tar, everything root's, described by its hash", async () => {
  const image = await build("a.squashfs", Readable.from([tar]));
  assert.equal(image.format, "squashfs");
  assert.equal(image.sha256, await sha256OfFile(image.path));
  assert.match(list(image.path), /^drwxr-xr-x 0\/0 .* 2026-01-01/m);
  assert.match(list(image.path), /^-rwxr-xr-x 0\/0 +100000 2001-09-09 .*\/bin\/tool$/m);
  const again = await build("b.squashfs", Readable.from([tar]));
  assert.equal(again.sha256, image.sha256, "the same tar is the same image");
});

test("rootfs image: the root directory is root's, also when a plain user wrote the image", async (t) => {
  const path = join(scratch, "plain.squashfs");
  const write = ["sqfstar", "-quiet", "-no-progress", "-noI", "-comp", "lz4", path];
  await chmod(scratch, 0o777);
  // Whoever runs the tests; when that is root, somebody else.
  const command = process.getuid?.() === 0 ? ["setpriv", "--reuid=65534", "--clear-groups", ...write] : write;
  try {
    execFileSync(command[0] ?? "", command.slice(1), { input: tar, stdio: ["pipe", "ignore", "ignore"] });
  } catch (failure) {
    return t.skip(`no plain user here: ${String(failure)}`);
  }
  if (process.getuid?.() === 0) assert.match(list(path), /^d\S+ 65534\//m, "what is to be corrected");
  await ownRootDirectory(path);
  assert.match(list(path), /^d\S+ 0\/0 /m);
  assert.doesNotMatch(list(path), / 65534\//);
});

test("rootfs image: a stream that breaks off is an error, not a short image", async () => {
  const broken = Readable.from(
    (async function* () {
      yield tar.subarray(0, 20_000);
      throw new Error("the connection broke");
    })(),
  );
  await assert.rejects(build("broken.squashfs", broken), { code: "environment_failed", message: /broke off/ });
});

test("rootfs image: what is no image, or cut off, is refused", async () => {
  const path = join(scratch, "none");
  for (const content of [Buffer.alloc(0), Buffer.alloc(200), Buffer.from("hsqs".padEnd(96, "\0"))]) {
    await writeFile(path, content);
    await assert.rejects(ownRootDirectory(path), { code: "environment_failed" });
  }
  await rm(path);
});
