import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { copySparse, nonZeroRuns } from "../../../src/vmm/firecracker/memory-file.ts";

const root = await mkdtemp(join(tmpdir(), "pyro-fc-memory-"));
after(async () => await rm(root, { recursive: true }));

const PAGE = 4096;

test("memory file: the parts that hold something are all of it, by whole pages", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(PAGE - 1)), { maxLength: 12 }), fc.nat(PAGE - 1), (pages, tail) => {
      const data = Buffer.alloc(pages.length * PAGE + tail);
      for (const [index, at] of pages.entries()) if (at !== null) data[index * PAGE + at] = 1;
      const copy = Buffer.alloc(data.length);
      let end = -1;
      for (const [start, next] of nonZeroRuns(data)) {
        assert.ok(
          start % PAGE === 0 && start > end && next > start,
          "runs are apart, ascending, and begin with a page",
        );
        data.copy(copy, start, start, next);
        end = next;
      }
      assert.deepEqual(copy, data);
    }),
  );
});

test("memory file: a copy has the same content and takes only what is not zero", async () => {
  const [source, target] = [join(root, "dense"), join(root, "sparse")];
  const data = Buffer.alloc(9 * 1024 * 1024);
  data.fill(1, 5 * 1024 * 1024, 5 * 1024 * 1024 + PAGE);
  data[data.length - 1] = 1;
  await writeFile(source, data);
  await copySparse(source, target);
  assert.deepEqual(await readFile(target), data);
  const { blocks, mode } = await stat(target);
  assert.ok(blocks * 512 < 1024 * 1024, `${blocks * 512} bytes on disk`);
  assert.equal(mode & 0o777, 0o600);
  await assert.rejects(copySparse(source, target), { code: "EEXIST" });
});
