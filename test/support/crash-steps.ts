/**
 * A server that is killed between two steps: from then on nothing that it asks of the file system, or of its machines, is done
 * or ever answered, and so nothing of it runs any further.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";

/** What changes something on the disk, as src/ does it. */
const CHANGES = ["rename", "rm", "mkdir", "writeFile", "appendFile"] as const;

interface Life {
  /** Steps that are still taken. */
  left: number;
  readonly onCrash: () => void;
}

/** Takes the place of the process's file system calls, for what runs in a life: there is one for a test file. */
export class CrashSteps {
  readonly #lives = new AsyncLocalStorage<Life>();
  readonly #calls = Object.fromEntries(CHANGES.map((name) => [name, fs[name]]));

  constructor() {
    for (const name of CHANGES) this.#replace(name, this.#counted(name));
  }

  /**
   * Runs `prepare` and then `work`, which is killed after so many steps, with all that the two have begun.
   * @returns what `prepare` gave, and whether `work` was done
   */
  async run<T>(
    prepare: () => Promise<T>,
    work: (prepared: T) => Promise<unknown>,
    steps: number,
  ): Promise<{ prepared: T; isDone: boolean }> {
    let crash: () => void = () => undefined;
    const crashed = new Promise<false>((resolve) => (crash = () => resolve(false)));
    const life: Life = { left: Number.POSITIVE_INFINITY, onCrash: crash };
    return await this.#lives.run(life, async () => {
      const prepared = await prepare();
      life.left = steps;
      const isDone = await Promise.race([work(prepared).then(() => true), crashed]);
      // What it has begun and nobody waits for ends here at the latest.
      life.left = 0;
      return { prepared, isDone };
    });
  }

  /** One more step is about to be taken. Never settles in a life that is over. */
  async step(): Promise<void> {
    const life = this.#lives.getStore();
    if (life === undefined) return;
    life.left -= 1;
    if (life.left >= 0) return;
    life.onCrash();
    await new Promise(() => undefined);
  }

  close(): void {
    for (const name of CHANGES) this.#replace(name, this.#calls[name]);
  }

  #counted(name: (typeof CHANGES)[number]) {
    return async (...args: unknown[]): Promise<unknown> => {
      await this.step();
      return await (this.#calls[name] as (...all: unknown[]) => Promise<unknown>)(...args);
    };
  }

  #replace(name: (typeof CHANGES)[number], call: unknown): void {
    Object.assign(fs, { [name]: call });
    syncBuiltinESMExports();
  }
}
