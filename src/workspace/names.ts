/** Names of workspaces: each belongs to one, also while that is being made or restored. */
import { PyroError } from "../contract/error.ts";

/** Whoever is making, restoring or renaming one. */
interface Taking {
  readonly signal: AbortSignal | undefined;
  /** Settles when the name is given back, or belongs to a workspace. */
  readonly ended: Promise<unknown>;
}

export class Names {
  readonly #isUsed: (name: string) => boolean;
  readonly #taken = new Map<string, Taking>();

  constructor(isUsed: (name: string) => boolean) {
    this.#isUsed = isUsed;
  }

  /**
   * Runs `work` so that nobody else takes the name meanwhile. One whose caller has gone away (`signal`) is waited for: it gives
   * the name back as soon as what it had made is removed.
   * @throws PyroError already_exists
   */
  async take<T>(name: string | undefined, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (name === undefined) return await work();
    await this.#cancelled(name);
    if (this.#isUsed(name)) {
      throw new PyroError("already_exists", `there is a workspace ${name}`, {
        remedy: `choose another name, or rename that one: pyro workspace update ${name} --name OTHER`,
      });
    }
    if (this.#taken.has(name)) {
      throw new PyroError("already_exists", `a workspace ${name} is being made or restored`, {
        remedy: "choose another name, or wait until it is there: pyro workspace list",
      });
    }
    const working = work();
    this.#taken.set(name, { signal, ended: working.catch(() => undefined) });
    try {
      return await working;
    } finally {
      this.#taken.delete(name);
    }
  }

  /** Settles when nobody has the name any more who was told to stop. */
  async #cancelled(name: string): Promise<void> {
    for (;;) {
      const other = this.#taken.get(name);
      if (other?.signal?.aborted !== true) return;
      await other.ended;
    }
  }
}
