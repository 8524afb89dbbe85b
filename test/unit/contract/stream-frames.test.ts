import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PyroError } from "../../../src/contract/error.ts";
import { FrameReader, frameHeader, type OutputStream } from "../../../src/contract/stream-frames.ts";

const frames = fc.array(
  fc.record({ stream: fc.constantFrom<OutputStream>("stdout", "stderr"), data: fc.uint8Array({ maxLength: 300 }) }),
  { maxLength: 20 },
);

test("what was framed comes out again, wherever the byte stream is cut", () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sent, cuts) => {
      const wire = Buffer.concat(sent.flatMap(({ stream, data }) => [frameHeader(stream, data.length), data]));
      const reader = new FrameReader();
      const received: Record<OutputStream, Uint8Array[]> = { stdout: [], stderr: [] };
      for (let offset = 0, index = 0; offset < wire.length; index += 1) {
        const end = offset + (cuts[index % cuts.length] ?? 1);
        for (const { stream, data } of reader.read(wire.subarray(offset, end))) received[stream].push(data);
        offset = end;
      }
      assert.ok(reader.atBoundary);
      for (const stream of ["stdout", "stderr"] as const) {
        const expected = Buffer.concat(sent.filter((frame) => frame.stream === stream).map(({ data }) => data));
        assert.deepEqual(Buffer.concat(received[stream]), expected);
      }
    }),
  );
});

test("bytes that are no frames are refused and never taken for output", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), (header) => {
      const wellFormed = (header[0] === 1 || header[0] === 2) && header[1] === 0 && header[2] === 0 && header[3] === 0;
      fc.pre(!wellFormed);
      assert.throws(
        () => [...new FrameReader().read(header)],
        (failure) => PyroError.is(failure) && failure.code === "protocol_mismatch",
      );
    }),
  );
});

test("a frame that claims more than the limit is refused before anything is allocated", () => {
  assert.throws(() => [...new FrameReader().read(Uint8Array.of(1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff))], PyroError);
});

test("an end within a frame is seen", () => {
  const reader = new FrameReader();
  assert.deepEqual([...reader.read(frameHeader("stdout", 5))], []);
  assert.equal(reader.atBoundary, false);
});
