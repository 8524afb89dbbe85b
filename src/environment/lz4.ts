/**
 * Decoder for the "legacy" LZ4 frame, in which the kernel's build packs a kernel: a magic number, then blocks with their
 * compressed size before each (lz4 doc/lz4_Frame_format.md, "Legacy frame"; doc/lz4_Block_format.md).
 */
import { PyroError } from "../contract/error.ts";

export const LZ4_LEGACY_MAGIC = Buffer.of(0x02, 0x21, 0x4c, 0x18);
/** A match is at least so long: lengths are stored less by this. */
const MATCH_BYTES_MIN = 4;

/**
 * The first `bytes` bytes that `frame` holds.
 *
 * @throws PyroError `artifact_corrupt` when it is no such frame or holds less.
 */
export function decodeLz4Legacy(frame: Uint8Array, bytes: number): Buffer {
  if (!LZ4_LEGACY_MAGIC.equals(frame.subarray(0, LZ4_LEGACY_MAGIC.length))) throw damaged("no LZ4 frame");
  const input = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  const output = Buffer.alloc(bytes);
  let position = LZ4_LEGACY_MAGIC.length;
  let filled = 0;
  while (filled < bytes) {
    if (position + 4 > input.length) throw damaged("it ends too early");
    const start = position + 4;
    const end = start + input.readUInt32LE(position);
    if (end > input.length) throw damaged("a block is longer than the file");
    filled = decodeBlock(input.subarray(start, end), output, filled);
    position = end;
  }
  return output;
}

/** Decodes one block into `output` from `filled` on; gives where it ends. Matches may reach back into earlier blocks' output. */
function decodeBlock(block: Buffer, output: Buffer, filled: number): number {
  let position = 0;
  let end = filled;
  const lengthOf = (nibble: number): number => {
    let length = nibble;
    // 15 goes on in further bytes, up to one that is not 255.
    for (let more = nibble === 15; more; position += 1) {
      const byte = block[position] ?? 0;
      length += byte;
      more = byte === 255 && position < block.length;
    }
    return length;
  };
  while (position < block.length) {
    const token = block[position++] ?? 0;
    const literals = lengthOf(token >> 4);
    if (position + literals > block.length || end + literals > output.length) throw damaged("its literals overflow");
    block.copy(output, end, position, position + literals);
    position += literals;
    end += literals;
    // The last sequence of a block has no match.
    if (position >= block.length) return end;
    if (position + 2 > block.length) throw damaged("a block ends in a match");
    const offset = block.readUInt16LE(position);
    position += 2;
    const length = lengthOf(token & 15) + MATCH_BYTES_MIN;
    if (offset === 0 || offset > end || end + length > output.length) throw damaged("a match is out of bounds");
    copyMatch(output, { from: end - offset, to: end, length });
    end += length;
  }
  throw damaged("a block has no end");
}

/** Copies forward: what is read may have been written by this very copy, which then repeats it. */
function copyMatch(output: Buffer, { from, to, length }: { from: number; to: number; length: number }): void {
  let copied = 0;
  // What is there already doubles with each step.
  while (copied < length) {
    const piece = Math.min(length - copied, to + copied - from);
    output.copyWithin(to + copied, from, from + piece);
    copied += piece;
  }
}

function damaged(why: string): PyroError {
  return new PyroError("artifact_corrupt", `LZ4 data is damaged: ${why}`);
}
