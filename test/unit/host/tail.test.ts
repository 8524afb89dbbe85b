import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Tail } from "../../../src/host/tail.ts";

test("tail: the last bytes are kept, exactly, however the stream is cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme-ascii", maxLength: 40 }), { maxLength: 60 }),
      fc.integer({ min: 1, max: 50 }),
      (chunks, limit) => {
        const tail = new Tail(limit);
        for (const chunk of chunks) tail.push(Buffer.from(chunk));
        assert.equal(tail.text(), chunks.join("").slice(-limit));
      },
    ),
  );
});

test("tail: text asked for in between changes nothing", () => {
  const tail = new Tail(4);
  for (const chunk of ["ab", "cd", "ef"]) {
    tail.push(Buffer.from(chunk));
    tail.text();
  }
  assert.equal(tail.text(), "cdef");
});

test("tail: a character that is cut at its start is replaced, not thrown at", () => {
  const tail = new Tail(2);
  tail.push(Buffer.from("€"));
  assert.match(tail.text(), /^\uFFFD+$/);
});

test("tail: a flood of single bytes takes bounded memory and time", () => {
  const tail = new Tail(64 * 1024);
  const before = process.memoryUsage();
  const start = performance.now();
  for (let index = 0; index < 1_000_000; index += 1) tail.push(Buffer.alloc(1, index % 256));
  const after = process.memoryUsage();
  const grown = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
  assert.ok(grown < 64 * 1024 * 1024, `${grown} bytes more`);
  assert.ok(performance.now() - start < 10_000);
});
