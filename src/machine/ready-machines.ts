/**
 * Machines kept ready: restored ahead of time, and warm because they have run something already (under TCG the first
 * command after a restore costs three times the next ones: its code is translated then).
 *
 * They are optional in every way: bounded in number and time, never waited for beyond a fresh start's cost, and no reason
 * for the server to live.
 */
import { PyroError } from "../contract/error.ts";
import { startExec } from "./exec.ts";
import { type MachineKind, templateParts } from "./bootable.ts";
import type { StartedMachine } from "./start.ts";
import { templateKey } from "./template.ts";

/** Time after which a machine that nobody took is ended. */
const KEPT_FOR_MS = 180_000;
const WARM_UP_LIMIT_MS = 20_000;

interface Ready {
  readonly key: string;
  readonly machine: Promise<StartedMachine | undefined>;
  readonly cancel: () => void;
  expiry: NodeJS.Timeout | undefined;
  /** Whether it could be taken without waiting. */
  warm: boolean;
}

export class ReadyMachines {
  readonly #start: (kind: MachineKind, signal: AbortSignal) => Promise<StartedMachine>;
  readonly #limit: number;
  readonly #onChange: () => void;
  readonly #ready: Ready[] = [];

  constructor(options: {
    /** How many at most, of all kinds together; 0: none. */
    limit: number;
    start: (kind: MachineKind, signal: AbortSignal) => Promise<StartedMachine>;
    onChange: () => void;
  }) {
    this.#limit = options.limit;
    this.#start = options.start;
    this.#onChange = options.onChange;
  }

  /** Machines that can be taken without waiting. */
  get count(): number {
    return this.#ready.filter(({ warm }) => warm).length;
  }

  /** Takes a ready machine of this kind, or undefined. One that is being made is waited for: it is ahead of a new one. */
  async take(kind: MachineKind): Promise<StartedMachine | undefined> {
    const key = templateKey(templateParts(kind));
    const index = this.#ready.findIndex((each) => each.key === key);
    const [ready] = index === -1 ? [] : this.#ready.splice(index, 1);
    if (ready === undefined) return undefined;
    clearTimeout(ready.expiry);
    this.#onChange();
    return await ready.machine;
  }

  /** Starts making one of this kind ready, unless there is one; the oldest of another kind gives way. */
  prepare(kind: MachineKind): void {
    const key = templateKey(templateParts(kind));
    if (this.#limit === 0 || this.#ready.some((each) => each.key === key)) return;
    while (this.#ready.length >= this.#limit) void this.#end(this.#ready[0]);
    const controller = new AbortController();
    const ready: Ready = {
      key,
      cancel: () => controller.abort(),
      expiry: undefined,
      warm: false,
      // A machine that cannot be made ready is only a start less quick: the next call meets the fault itself and reports it.
      machine: this.#make(kind, controller.signal).catch(() => {
        this.#forget(ready);
        return undefined;
      }),
    };
    this.#ready.push(ready);
    void ready.machine.then((machine) => {
      ready.warm = machine !== undefined;
      this.#onChange();
    });
    ready.expiry = setTimeout(() => void this.#end(ready), KEPT_FOR_MS).unref();
  }

  /** Ends them all and waits until they are gone. */
  async close(): Promise<void> {
    await Promise.all([...this.#ready].map((ready) => this.#end(ready)));
  }

  async #make(kind: MachineKind, signal: AbortSignal): Promise<StartedMachine> {
    const machine = await this.#start(kind, signal);
    const warmUp = startExec(machine.link.agent, {
      argv: ["/bin/true"],
      env: {},
      cwd: "/",
      user: "root",
      timeLimitMs: WARM_UP_LIMIT_MS,
      stdin: undefined,
      onOutput: () => undefined,
    });
    try {
      await warmUp.outcome;
      if (signal.aborted) throw new PyroError("cancelled", "nobody needs this machine any more");
    } catch (failure) {
      await machine.scope.close();
      throw failure;
    }
    return machine;
  }

  async #end(ready: Ready | undefined): Promise<void> {
    if (ready === undefined) return;
    this.#forget(ready);
    ready.cancel();
    const machine = await ready.machine;
    await machine?.scope.close();
  }

  #forget(ready: Ready): void {
    clearTimeout(ready.expiry);
    const index = this.#ready.indexOf(ready);
    if (index === -1) return;
    this.#ready.splice(index, 1);
    this.#onChange();
  }
}
