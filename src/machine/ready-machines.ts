/**
 * Machines kept ready: restored ahead of time, and warm because they have run something already (under TCG the first
 * command after a restore costs three times the next ones: its code is translated then).
 *
 * They are optional in every way: bounded in number and time, never waited for beyond a fresh start's cost, and no reason
 * for the server to live.
 */
import { PyroError } from "../contract/error.ts";
import { isAlive } from "../host/process-identity.ts";
import { type MachineKind, templateParts } from "./bootable.ts";
import type { ConfiguredMachine } from "./start.ts";
import { templateKey } from "./template.ts";

/** Time after which a machine that nobody took is ended. */
const KEPT_FOR_MS = 180_000;
const WARM_UP_LIMIT_MS = 20_000;

/** One that is kept, or being made. It is in the list exactly as long as it may be taken. */
interface Ready {
  readonly key: string;
  /** Undefined when it could not be made, or was cancelled. */
  readonly machine: Promise<ConfiguredMachine | undefined>;
  readonly cancel: () => void;
  readonly expiry: NodeJS.Timeout;
  /** Whether it could be taken without waiting. */
  warm: boolean;
}

interface ReadyMachinesOptions {
  /** How many at most, of all kinds together; 0: none. */
  readonly limit: number;
  readonly keptForMs?: number;
  readonly start: (kind: MachineKind, signal: AbortSignal) => Promise<ConfiguredMachine>;
  readonly onChange: () => void;
  readonly onNotice: (notice: string) => void;
}

export class ReadyMachines {
  readonly #options: ReadyMachinesOptions;
  readonly #ready: Ready[] = [];
  /** Ends in progress, so that `close` can wait for those that nobody else waits for. */
  readonly #ending = new Set<Promise<void>>();

  constructor(options: ReadyMachinesOptions) {
    this.#options = options;
  }

  /** Machines that can be taken without waiting. */
  get count(): number {
    return this.#ready.filter(({ warm }) => warm).length;
  }

  /**
   * Takes a ready machine of this kind, or undefined. One that is being made is waited for: it is ahead of a new one. On
   * abort its making is cancelled; what comes all the same is the caller's.
   */
  async take(kind: MachineKind, signal: AbortSignal): Promise<ConfiguredMachine | undefined> {
    const key = templateKey(templateParts(kind));
    const ready = this.#ready.find((each) => each.key === key);
    if (ready === undefined) return undefined;
    this.#forget(ready);
    if (signal.aborted) ready.cancel();
    signal.addEventListener("abort", ready.cancel, { once: true });
    const machine = await ready.machine.finally(() => signal.removeEventListener("abort", ready.cancel));
    if (machine === undefined || isAlive(machine.vmm.process)) return machine;
    // It ended on its own just now.
    await machine.scope.close();
    return undefined;
  }

  /** Starts making one of this kind ready, unless there is one; the oldest of another kind gives way. */
  prepare(kind: MachineKind): void {
    const { limit, keptForMs = KEPT_FOR_MS } = this.#options;
    const key = templateKey(templateParts(kind));
    if (limit === 0 || this.#ready.some((each) => each.key === key)) return;
    while (this.#ready.length >= limit) this.#end(this.#ready[0]);
    const controller = new AbortController();
    const ready: Ready = {
      key,
      cancel: () => controller.abort(),
      warm: false,
      machine: this.#make(kind, controller.signal).catch((failure: unknown) => {
        // Only a start less quick: the next call meets the fault itself and reports it.
        if (!controller.signal.aborted) this.#notice("was not made", failure);
        this.#forget(ready);
        return undefined;
      }),
      expiry: setTimeout(() => this.#end(ready), keptForMs).unref(),
    };
    this.#ready.push(ready);
    void ready.machine.then((machine) => this.#watch(ready, machine));
  }

  /** Ends them all and waits until they are gone. */
  async close(): Promise<void> {
    for (const ready of [...this.#ready]) this.#end(ready);
    await Promise.all(this.#ending);
  }

  #watch(ready: Ready, machine: ConfiguredMachine | undefined): void {
    if (machine === undefined || !this.#ready.includes(ready)) return;
    ready.warm = true;
    this.#options.onChange();
    // Whoever has taken it by then is told by other ways.
    void machine.vmm.exited.then(() => this.#end(ready));
  }

  async #make(kind: MachineKind, signal: AbortSignal): Promise<ConfiguredMachine> {
    const machine = await this.#options.start(kind, signal);
    const onAbort = (): void => void machine.vmm.kill();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await warmUp(machine);
      if (signal.aborted) throw new PyroError("cancelled", "nobody needs this machine any more");
      return machine;
    } catch (failure) {
      await machine.scope.close();
      throw failure;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Ends one that is still kept; its end is waited for by `close` only. */
  #end(ready: Ready | undefined): void {
    if (ready === undefined || !this.#forget(ready)) return;
    ready.cancel();
    const ending = ready.machine
      .then((machine) => machine?.scope.close())
      .catch((failure: unknown) => this.#notice("left something behind", failure))
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  #forget(ready: Ready): boolean {
    clearTimeout(ready.expiry);
    const index = this.#ready.indexOf(ready);
    if (index === -1) return false;
    this.#ready.splice(index, 1);
    this.#options.onChange();
    return true;
  }

  #notice(what: string, failure: unknown): void {
    this.#options.onNotice(`a machine kept ready ${what}: ${PyroError.from(failure).message}`);
  }
}

/** Runs the smallest program once. */
async function warmUp(machine: ConfiguredMachine): Promise<void> {
  await machine.exec({
    argv: ["/bin/true"],
    env: {},
    cwd: "/",
    user: "root",
    timeLimitMs: WARM_UP_LIMIT_MS,
    stdin: undefined,
    onOutput: () => undefined,
  }).outcome;
}
