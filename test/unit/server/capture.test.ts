import assert from "node:assert/strict";
import { test } from "node:test";
import { CAPTURE_BYTES_MAX } from "../../../src/contract/limits.ts";
import { Capture } from "../../../src/server/capture.ts";

test("output that is not UTF-8 is given exactly, beside a text with replacements", () => {
  const capture = new Capture();
  capture.add("stdout", Uint8Array.of(0x61, 0xff, 0x62));
  capture.add("stderr", new TextEncoder().encode("ä"));
  assert.deepEqual(capture.fields(), {
    stdout: "a\ufffdb",
    stdout_base64: "Yf9i",
    stderr: "ä",
    stdout_dropped_bytes: 0,
    stderr_dropped_bytes: 0,
  });
});

test("a character cut by the pieces it came in is whole again", () => {
  const capture = new Capture();
  capture.add("stdout", Uint8Array.of(0xc3));
  capture.add("stdout", Uint8Array.of(0xa4));
  assert.equal(capture.fields().stdout, "ä");
});

test("past the limit bytes are counted and not kept", () => {
  const capture = new Capture();
  capture.add("stdout", new Uint8Array(CAPTURE_BYTES_MAX - 1).fill(0x61));
  capture.add("stdout", new Uint8Array(10).fill(0x62));
  capture.add("stdout", new Uint8Array(5).fill(0x63));
  const { stdout, stdout_dropped_bytes: dropped } = capture.fields();
  assert.equal(stdout.length, CAPTURE_BYTES_MAX);
  assert.equal(stdout.at(-1), "b");
  assert.equal(dropped, 14);
});

test("what was captured does not change with the buffer it came in", () => {
  const capture = new Capture();
  const buffer = new TextEncoder().encode("before");
  capture.add("stdout", buffer);
  buffer.fill(0x78);
  assert.equal(capture.fields().stdout, "before");
});
