import { PyroError } from "../contract/error.ts";

type Release = () => void | Promise<void>;

/**
 * What was acquired, released in reverse order.
 *
 * Register each release right after its acquisition, before the next await. `close` runs all of them even when some
 * fail and then throws what failed. `keep` hands everything over to the caller's longer-lived owner.
 */
export class Scope {
  readonly #releases: Release[] = [];
  #closed = false;
  #closing: Promise<void> | undefined;

  /** Registers a release; on a scope that is already closed it is an error of the program. */
  defer(release: Release): void {
    if (this.#closed) throw new PyroError("internal", "defer on a closed scope");
    this.#releases.push(release);
  }

  /** Forgets every release: their owner is now somebody else. */
  keep(): void {
    this.#releases.length = 0;
    this.#closed = true;
  }

  /** Releases everything. Whoever calls it while or after another one does waits for the same end. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#closing ??= this.#releaseAll();
    await this.#closing;
  }

  async #releaseAll(): Promise<void> {
    const failures: unknown[] = [];
    for (let release = this.#releases.pop(); release !== undefined; release = this.#releases.pop()) {
      try {
        await release();
      } catch (failure) {
        failures.push(failure);
      }
    }
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, "several releases failed");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
