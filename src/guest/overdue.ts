/** The host's own watch over a time limit that is the guest's to keep: an agent may hang, or lie. */
import { PyroError } from "../contract/error.ts";
import type { GuestClock } from "./clock.ts";

/** From the time limit to the end that the agent says: killing, reaping, a starved vCPU. */
const GRACE_MS = 60_000;
/** Output that may still come when the time is over: what the agent keeps, the pipes, what is on its way; with room. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Counts only the time that is spent waiting for the agent: a slow reader of the output may take as long as it likes.
 */
export class Overdue {
  readonly #controller = new AbortController();
  readonly #clock: GuestClock;
  readonly #endsAt: number;
  #startsBy: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lateBytes = 0;
  #failure: PyroError | undefined;

  /** Both in the guest's time; undefined: never overdue. `startsWithinMs` ends with `started`. */
  constructor(
    { endsWithinMs, startsWithinMs }: { endsWithinMs?: number | undefined; startsWithinMs?: number | undefined },
    clock: GuestClock,
  ) {
    this.#clock = clock;
    this.#endsAt = endsWithinMs === undefined ? Number.POSITIVE_INFINITY : clock.now() + endsWithinMs;
    this.#startsBy = startsWithinMs === undefined ? undefined : clock.now() + startsWithinMs;
  }

  /** Aborted when the agent is overdue. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why it was aborted. */
  get failure(): PyroError | undefined {
    return this.#failure;
  }

  /** From now on the agent is waited for. */
  wait(): void {
    const since = this.#clock.now();
    const startsBy = this.#startsBy;
    const waitMs =
      startsBy === undefined ? Math.max(this.#endsAt - since, 0) + GRACE_MS : Math.max(startsBy - since, 0);
    // setTimeout takes no more than 31 bits, which are 24 days.
    if (waitMs >= 2 ** 31) return;
    this.#timer = setTimeout(() => {
      // Paused meanwhile, it has had less time.
      if (this.#clock.now() - since < waitMs - 1) this.wait();
      else if (startsBy === undefined) this.#endLate("says nothing of its end");
      else this.#end("the guest agent does not say whether it has started the command");
    }, waitMs);
  }

  /** The agent has started the command. */
  started(): void {
    this.#startsBy = undefined;
  }

  /** The agent said something, with so many bytes of output. */
  arrived(outputBytes: number): void {
    this.stop();
    if (this.#clock.now() < this.#endsAt + GRACE_MS) return;
    this.#lateBytes += outputBytes;
    if (this.#lateBytes > OUTPUT_BYTES_MAX) this.#endLate("goes on sending output");
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #endLate(what: string): void {
    this.#end(`the time limit of the command has passed, and the guest agent ${what}`);
  }

  #end(message: string): void {
    this.#failure = new PyroError("guest_unreachable", message);
    this.#controller.abort();
  }
}
