/** Pieces that are kept apart before they are put together: a stream may come byte by byte, and each piece costs 100. */
const PIECES_MAX = 256;

/** The last bytes of a stream, in memory of less than three times the limit whatever comes. */
export class Tail {
  readonly #limitBytes: number;
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  push(chunk: Buffer): void {
    // A copy: a view would keep all of a chunk that may be large.
    const piece = chunk.length > this.#limitBytes ? Buffer.from(chunk.subarray(-this.#limitBytes)) : chunk;
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#bytes >= 2 * this.#limitBytes || this.#pieces.length >= PIECES_MAX) this.#join();
  }

  /** The last bytes, at most the limit, as text; broken UTF-8 is replaced. */
  text(): string {
    this.#join();
    return this.#pieces.join("");
  }

  #join(): void {
    const joined = Buffer.concat(this.#pieces).subarray(-this.#limitBytes);
    this.#pieces = [joined];
    this.#bytes = joined.length;
  }
}
