/** When the server ends: idle, told to, or signalled. */
import { PyroError } from "../contract/error.ts";
import { withDeadline } from "../host/deadline.ts";
import type { Machines } from "../machine/machine.ts";
import { log } from "./log.ts";

/** How long calls have to end once they were told to, before their connections are cut. */
const CALLS_DEADLINE_MS = 5000;

/** A call in progress, as the lifecycle sees it. */
export interface ActiveCall {
  readonly abort: (why: PyroError) => void;
  readonly ended: Promise<void>;
}

export interface StopRequest {
  readonly reason: string;
  /** Whether the machines of workspaces live on for the next server. */
  readonly keepWorkspaces: boolean;
}

export class Lifecycle {
  readonly startedAt = new Date();
  readonly #machines: Machines;
  readonly #idleMs: number;
  readonly #calls = new Set<ActiveCall>();
  #idleTimer: NodeJS.Timeout | undefined;
  #serving = false;
  #stopping = false;
  #stop: (request: StopRequest) => void = () => undefined;
  /** Settles when the server is to end. */
  readonly stopRequested: Promise<StopRequest>;

  constructor(machines: Machines, idleMs: number) {
    this.#machines = machines;
    this.#idleMs = idleMs;
    this.stopRequested = new Promise((resolve) => (this.#stop = resolve));
    machines.onChange(() => this.#watchIdleness());
  }

  /** From now on there are clients to wait for. */
  serve(): void {
    this.#serving = true;
    this.#watchIdleness();
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** Calls in progress, those that only ask for the server itself included. */
  get activeCalls(): number {
    return this.#calls.size;
  }

  /** Counts `call` until it has ended. */
  add(call: ActiveCall): void {
    this.#calls.add(call);
    this.#watchIdleness();
    void call.ended.then(() => {
      this.#calls.delete(call);
      this.#watchIdleness();
    });
  }

  /** Ends the server soon; the first reason counts. */
  requestStop(reason: string, { keepWorkspaces } = { keepWorkspaces: false }): void {
    if (this.#stopping) return;
    this.#stopping = true;
    clearTimeout(this.#idleTimer);
    this.#stop({ reason, keepWorkspaces });
  }

  /** Tells every call to end and waits for that, for a bounded time. */
  async endCalls(): Promise<void> {
    const why = new PyroError("server_unavailable", "the pyro server was stopped", {
      remedy: "look at what the command had done so far before you run it again",
    });
    const calls = [...this.#calls];
    for (const call of calls) call.abort(why);
    try {
      await withDeadline(Promise.all(calls.map(({ ended }) => ended)), CALLS_DEADLINE_MS, () => {
        return new PyroError("deadline_exceeded", `calls did not end within ${CALLS_DEADLINE_MS} ms`);
      });
    } catch (failure) {
      log("stop", { failure: PyroError.from(failure).message });
    }
  }

  /** Machines kept ready do not count: they are there to be used, not a use. */
  #watchIdleness(): void {
    clearTimeout(this.#idleTimer);
    if (!this.#serving || this.#stopping || this.#calls.size > 0 || this.#machines.counts().held > 0) return;
    this.#idleTimer = setTimeout(() => this.requestStop("idle"), this.#idleMs);
  }
}
