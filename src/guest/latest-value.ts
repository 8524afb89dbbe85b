/** An async sequence that holds only the newest value: what is not taken in time is replaced. */
export class LatestValue<T> implements AsyncIterable<T> {
  #value: T | undefined;
  #ended = false;
  #wake: (() => void) | undefined;

  set(value: T): void {
    this.#value = value;
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const value = this.#value;
      this.#value = undefined;
      if (value !== undefined) yield value;
      else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
