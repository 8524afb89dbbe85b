/**
 * Takes named regular files out of a tar stream, and nothing else: no link is followed, no path is built, nothing is
 * written. Format: POSIX.1-2017, pax, "ustar Interchange Format".
 */
import { PyroError } from "../../contract/error.ts";

const BLOCK_BYTES = 512;
/** Offsets and lengths of the header's fields. */
const NAME = [0, 100] as const;
const SIZE = [124, 12] as const;
const CHECKSUM = [148, 8] as const;
const TYPE_OFFSET = 156;
const PREFIX = [345, 155] as const;
/** "0", and the NUL of old tars. */
const REGULAR = ["0", "\0"];

export interface TarLimits {
  /** Bytes of one wanted file. */
  readonly entryBytesMax: number;
  /** Bytes of the whole stream. */
  readonly totalBytesMax: number;
}

/**
 * The content of each of `names`, which must all be there once, as regular files.
 * @throws PyroError artifact_corrupt when they are not, or the stream is no tar, truncated or over a limit
 */
export async function readTarFiles(
  chunks: AsyncIterable<Buffer>,
  names: readonly string[],
  limits: TarLimits,
): Promise<Map<string, Buffer>> {
  const source = new BlockSource(chunks, limits.totalBytesMax);
  const files = new Map<string, Buffer>();
  for (;;) {
    const header = await source.take(BLOCK_BYTES);
    // Two blocks of zeros end an archive; the first one is enough to know it.
    if (header.every((byte) => byte === 0)) break;
    const { name, size, type } = parseHeader(header);
    const padding = (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
    if (names.includes(name)) {
      if (!REGULAR.includes(type)) throw corrupt(`${name} in the archive is no regular file`);
      if (files.has(name)) throw corrupt(`${name} is twice in the archive`);
      if (size > limits.entryBytesMax) throw corrupt(`${name} has ${size} bytes, more than ${limits.entryBytesMax}`);
      files.set(name, await source.take(size));
      await source.skip(padding);
    } else {
      await source.skip(size + padding);
    }
  }
  const missing = names.find((name) => !files.has(name));
  if (missing !== undefined) throw corrupt(`the archive has no ${missing}`);
  return files;
}

function parseHeader(header: Buffer): { name: string; size: number; type: string } {
  // The sum of all bytes, those of the checksum itself counted as blanks.
  const own = octal(header, CHECKSUM);
  const [from, length] = CHECKSUM;
  const sum = header.reduce((total, byte, at) => total + (at >= from && at < from + length ? 0x20 : byte), 0);
  if (own !== sum) throw corrupt("this is no tar archive: a header's checksum is wrong");
  const prefix = text(header, PREFIX);
  const name = text(header, NAME);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    size: octal(header, SIZE),
    type: String.fromCharCode(header[TYPE_OFFSET] ?? 0),
  };
}

function text(header: Buffer, [from, length]: readonly [number, number]): string {
  const field = header.subarray(from, from + length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end === -1 ? length : end).replace(/^\.\//, "");
}

function octal(header: Buffer, [from, length]: readonly [number, number]): number {
  const digits = header
    .toString("latin1", from, from + length)
    .replaceAll(/[\0 ]+$/g, "")
    .trimStart();
  if (!/^[0-7]+$/.test(digits)) throw corrupt("this is no tar archive: a header's number is not octal");
  return Number.parseInt(digits, 8);
}

/** Gives the stream in pieces of the size that is asked for. */
class BlockSource {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #totalBytesMax: number;
  #total = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>, totalBytesMax: number) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#totalBytesMax = totalBytesMax;
  }

  async take(bytes: number): Promise<Buffer> {
    const taken: Buffer[] = [];
    await this.#consume(bytes, (piece) => void taken.push(piece));
    return Buffer.concat(taken, bytes);
  }

  async skip(bytes: number): Promise<void> {
    await this.#consume(bytes, () => undefined);
  }

  async #consume(bytes: number, onPiece: (piece: Buffer) => void): Promise<void> {
    for (let open = bytes; open > 0;) {
      if (this.#rest.length === 0) this.#rest = await this.#next();
      const piece = this.#rest.subarray(0, open);
      this.#rest = this.#rest.subarray(piece.length);
      open -= piece.length;
      onPiece(piece);
    }
  }

  async #next(): Promise<Buffer> {
    const { done, value } = await this.#chunks.next().catch((cause: unknown) => {
      throw corrupt("the archive cannot be unpacked", cause);
    });
    if (done === true) throw corrupt("the archive is truncated");
    this.#total += value.length;
    if (this.#total > this.#totalBytesMax)
      throw corrupt(`the archive unpacks to more than ${this.#totalBytesMax} bytes`);
    return value;
  }
}

function corrupt(message: string, cause?: unknown): PyroError {
  return new PyroError("artifact_corrupt", message, cause === undefined ? {} : { cause });
}
