/** Messages of a gRPC stream, however it is cut, and what a call's end says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { failureOf, GrpcCode } from "../../../src/guest/grpc/failure.ts";
import { frame, FrameReader } from "../../../src/guest/grpc/frames.ts";

const LIMIT_BYTES = 1000;

test("grpc frames: messages come out as they went in, wherever the stream is cut", () => {
  const message = fc.uint8Array({ maxLength: LIMIT_BYTES });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 10 }), fc.array(fc.nat({ max: 300 })), (messages, cuts) => {
      const stream = Buffer.concat(messages.map(frame));
      const reader = new FrameReader(LIMIT_BYTES);
      const seen: Buffer[] = [];
      let at = 0;
      for (const bytes of [...cuts, stream.length]) {
        seen.push(...reader.push(stream.subarray(at, at + bytes)));
        at += bytes;
      }
      assert.deepEqual(
        seen.map(String),
        messages.map((each) => String(Buffer.from(each))),
      );
      assert.ok(reader.atBoundary);
    }),
  );
});

test("grpc frames: a message in pieces is no end", () => {
  const reader = new FrameReader(LIMIT_BYTES);
  assert.deepEqual(reader.push(frame(Buffer.from("abc")).subarray(0, 7)), []);
  assert.equal(reader.atBoundary, false);
});

test("grpc frames: what is too long or compressed is refused by its prefix alone", () => {
  const tooLong = frame(Buffer.alloc(LIMIT_BYTES + 1)).subarray(0, 5);
  assert.throws(() => new FrameReader(LIMIT_BYTES).push(tooLong), { code: GrpcCode.ResourceExhausted });
  const compressed = Buffer.from([1, 0, 0, 0, 1]);
  assert.throws(() => new FrameReader(LIMIT_BYTES).push(compressed), { code: GrpcCode.Internal });
});

test("grpc: a call's end is read from its trailers, whatever they hold", () => {
  assert.equal(failureOf({ "grpc-status": "0" }), undefined);
  const refused = failureOf({ "grpc-status": "5", "grpc-message": "no%20such%20thing%3A %E2%82%AC" });
  assert.deepEqual([refused?.code, refused?.message], [GrpcCode.NotFound, "no such thing: €"]);
  assert.equal(failureOf({ "grpc-status": "5", "grpc-message": "100%" })?.message, "100%");
  for (const trailers of [{}, { "grpc-status": "" }, { "grpc-status": "-1" }, { "grpc-status": "0 0" }])
    assert.equal(failureOf(trailers)?.code, GrpcCode.Unknown);
  fc.assert(
    fc.property(fc.string(), fc.string(), (status, message) => {
      const failure = failureOf({ "grpc-status": status, "grpc-message": message });
      assert.equal(failure === undefined, status === "0");
    }),
  );
});
