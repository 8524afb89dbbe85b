/** Names of workspaces: each belongs to one, also while that is being made or restored. */
import { PyroError } from "../contract/error.ts";

export class Names {
  readonly #isUsed: (name: string) => boolean;
  /** By whoever is making or restoring one. */
  readonly #taken = new Set<string>();

  constructor(isUsed: (name: string) => boolean) {
    this.#isUsed = isUsed;
  }

  /** Runs `work` so that nobody else takes the name meanwhile. @throws PyroError already_exists */
  async take<T>(name: string | undefined, work: () => Promise<T>): Promise<T> {
    if (name === undefined) return await work();
    if (this.#isUsed(name) || this.#taken.has(name)) {
      throw new PyroError("already_exists", `there is a workspace ${name}`, {
        remedy: `choose another name, or rename that one: pyro workspace update ${name} --name OTHER`,
      });
    }
    this.#taken.add(name);
    try {
      return await work();
    } finally {
      this.#taken.delete(name);
    }
  }
}
