import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeLz4Legacy, LZ4_LEGACY_MAGIC } from "../../../src/environment/lz4.ts";
import { PyroError } from "../../../src/contract/error.ts";

/** One step of a block: bytes as they are, then a copy of what came `offset` before. */
interface Sequence {
  readonly literals: Uint8Array;
  readonly match: { readonly offset: number; readonly length: number } | undefined;
}

/** 15 in a nibble goes on in bytes of 255 and a last one. */
function lengthBytes(length: number): number[] {
  if (length < 15) return [];
  const rest = length - 15;
  return [...Array.from({ length: Math.floor(rest / 255) }, () => 255), rest % 255];
}

/** A block by the format's own description, and what it stands for. */
function encode(sequences: readonly Sequence[], before: Buffer): { block: Buffer; plain: Buffer } {
  const bytes: number[] = [];
  let plain = before;
  for (const { literals, match } of sequences) {
    const length = (match?.length ?? 4) - 4;
    bytes.push((Math.min(literals.length, 15) << 4) | (match === undefined ? 0 : Math.min(length, 15)));
    bytes.push(...lengthBytes(literals.length), ...literals);
    plain = Buffer.concat([plain, literals]);
    if (match === undefined) continue;
    bytes.push(match.offset & 255, match.offset >> 8, ...lengthBytes(length));
    for (let index = 0; index < match.length; index += 1)
      plain = Buffer.concat([plain, plain.subarray(plain.length - match.offset, plain.length - match.offset + 1)]);
  }
  return { block: Buffer.from(bytes), plain };
}

function frameOf(blocks: readonly Buffer[]): Buffer {
  const parts = blocks.flatMap((block) => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(block.length);
    return [size, block];
  });
  return Buffer.concat([LZ4_LEGACY_MAGIC, ...parts]);
}

const literals = fc.uint8Array({ minLength: 1, maxLength: 40 });
const sequence = fc.record({
  literals,
  match: fc.record({ back: fc.nat(60), length: fc.integer({ min: 4, max: 600 }) }),
});
const blocks = fc.array(fc.tuple(fc.array(sequence, { maxLength: 4 }), literals), { minLength: 1, maxLength: 3 });

test("lz4: whatever is encoded by the description of the format is decoded, overlapping copies and long lengths too", () => {
  fc.assert(
    fc.property(blocks, (described) => {
      let plain = Buffer.alloc(0);
      const encoded = described.map(([steps, last]) => {
        let length = plain.length;
        const sequences: Sequence[] = steps.map(({ literals: bytes, match }) => {
          length += bytes.length;
          const offset = Math.min(match.back + 1, length);
          length += match.length;
          return { literals: bytes, match: { offset, length: match.length } };
        });
        const { block, plain: after } = encode([...sequences, { literals: last, match: undefined }], plain);
        plain = Buffer.from(after);
        return block;
      });
      assert.deepEqual(decodeLz4Legacy(frameOf(encoded), plain.length), plain);
    }),
  );
});

test("lz4: damaged data is refused, never read beyond and never a crash", () => {
  const whole = frameOf([encode([{ literals: Buffer.alloc(300, 7), match: undefined }], Buffer.alloc(0)).block]);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, value, cut) => {
      const altered = Buffer.from(whole.subarray(0, cut));
      if (at < altered.length) altered[at] = value;
      try {
        assert.equal(decodeLz4Legacy(altered, 300).length, 300);
      } catch (failure) {
        assert.ok(PyroError.is(failure) && failure.code === "artifact_corrupt", String(failure));
      }
    }),
  );
});
