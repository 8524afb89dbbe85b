import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { type CpioEntry, encodeCpio } from "../../../src/environment/cpio.ts";

/** Reads the format as the kernel does (init/initramfs.c): fixed header, name, content, each padded to four. */
function decode(archive: Buffer): CpioEntry[] {
  const entries: CpioEntry[] = [];
  for (let at = 0; ;) {
    assert.equal(archive.toString("latin1", at, at + 6), "070701");
    const field = (index: number): number =>
      Number.parseInt(archive.toString("latin1", at + 6 + index * 8, at + 14 + index * 8), 16);
    const [mode, size, nameBytes] = [field(1), field(6), field(11)];
    const path = archive.toString("utf8", at + 110, at + 110 + nameBytes - 1);
    const start = at + Math.ceil((110 + nameBytes) / 4) * 4;
    at = start + Math.ceil(size / 4) * 4;
    if (path === "TRAILER!!!") {
      assert.equal(at, archive.length);
      return entries;
    }
    const permissions = mode & 0o7777;
    if ((mode & 0o170_000) === 0o040_000) entries.push({ path, kind: "directory", mode: permissions });
    else
      entries.push({
        path,
        kind: "file",
        mode: permissions,
        content: new Uint8Array(archive.subarray(start, start + size)),
      });
  }
}

const path = fc.stringMatching(/^[a-zé0-9._-]{1,40}(\/[a-z0-9]{1,20}){0,3}$/).filter((text) => !text.startsWith("."));
const mode = fc.integer({ min: 0, max: 0o7777 });
const entry: fc.Arbitrary<CpioEntry> = fc
  .tuple(path, mode, fc.option(fc.uint8Array({ maxLength: 300 }), { nil: undefined }))
  .map(([name, bits, content]) =>
    content === undefined
      ? { path: name, kind: "directory", mode: bits }
      : { path: name, kind: "file", mode: bits, content },
  );

test("cpio: what was written is read back, whatever the names and lengths", () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 12 }), (entries) => {
      assert.deepEqual(decode(encodeCpio(entries)), entries);
    }),
  );
});

test("cpio: the cpio program reads it", (t) => {
  const archive = encodeCpio([
    { path: "modules", kind: "directory", mode: 0o755 },
    { path: "modules/00-a.ko", kind: "file", mode: 0o644, content: Buffer.from("abc") },
    { path: "init", kind: "file", mode: 0o755, content: Buffer.alloc(5000, 7) },
  ]);
  let listing: string;
  try {
    listing = execFileSync("cpio", ["--list", "--verbose", "--quiet"], { input: archive, encoding: "utf8" });
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code === "ENOENT") return t.skip("cpio is not installed");
    throw failure;
  }
  assert.match(listing, /^drwxr-xr-x .* modules$/m);
  assert.match(listing, /^-rw-r--r-- .* 3 .* modules\/00-a\.ko$/m);
  assert.match(listing, /^-rwxr-xr-x .* 5000 .* init$/m);
});

test("cpio: a path that would leave the archive's root, or end it, is refused", () => {
  for (const bad of ["", "/init", "a\0b", "TRAILER!!!"]) {
    assert.throws(() => encodeCpio([{ path: bad, kind: "file", mode: 0o644 }]), { code: "internal" });
  }
});
