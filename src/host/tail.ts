/** The last bytes of a stream, bounded whatever comes. */
export class Tail {
  readonly #limitBytes: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk.length > this.#limitBytes ? chunk.subarray(-this.#limitBytes) : chunk);
    this.#bytes += this.#chunks.at(-1)?.length ?? 0;
    while (this.#bytes - (this.#chunks[0]?.length ?? 0) >= this.#limitBytes) {
      this.#bytes -= this.#chunks.shift()?.length ?? 0;
    }
  }

  /** At most the limit, as text; broken UTF-8 is replaced. */
  text(): string {
    return Buffer.concat(this.#chunks).subarray(-this.#limitBytes).toString();
  }
}
