/** Orders to a stepping server (`stepping-server.ts`). */
import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** In the server's state: the order, how many steps were taken since there is one, and the path of the server itself. */
export const STEPS_FILES = ["steps-order", "steps-taken", "steps-server"] as const;

export interface KillOrder {
  /** The number of the step before which it happens, from 1. */
  readonly before: number;
  /** Who is killed; 0: the server. */
  readonly pid: number;
}

/** What a server is to be started with so that it takes orders. */
export const STEPPING_SERVER = fileURLToPath(new URL("./stepping-server.js", import.meta.url));

/** The orders to the server of this state. */
export class StepOrders {
  readonly #order: string;
  readonly #taken: string;

  /** `server` is its main module. */
  constructor(state: string, server: string) {
    const [order, taken, entry] = STEPS_FILES.map((name) => join(state, name)) as [string, string, string];
    this.#order = order;
    this.#taken = taken;
    mkdirSync(state, { recursive: true, mode: 0o700 });
    writeFileSync(entry, server);
  }

  /** Counts from now on. */
  give(order: KillOrder): void {
    writeFileSync(`${this.#order}-new`, JSON.stringify(order));
    rmSync(this.#taken, { force: true });
    renameSync(`${this.#order}-new`, this.#order);
  }

  /** Takes the order back: whether it was carried out, and the steps that were taken. */
  end(): { isDone: boolean; steps: number } {
    const isDone = !existsSync(this.#order);
    rmSync(this.#order, { force: true });
    // A byte for each.
    const steps = statSync(this.#taken, { throwIfNoEntry: false })?.size ?? 0;
    return { isDone, steps };
  }
}
