import { PyroError } from "../contract/error.ts";

/** What changes a workspace, one after the other, in the order in which it was asked for. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Whether something is being done, or waits. */
  get busy(): boolean {
    return this.#waiting > 0;
  }

  /** Runs `work` when all before it is done. A caller that goes away while it waits is not waited for. */
  async take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#waiting += 1;
    const before = this.#last;
    const turn = (async () => {
      // However it ended, it has.
      await before.catch(() => undefined);
      if (signal?.aborted === true) throw PyroError.from(signal.reason);
      return await work();
    })();
    this.#last = turn;
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }
}
