/** Work that several callers want at the same time and that is done once. */
import { PyroError } from "../contract/error.ts";

interface Flight<Result, Progress> {
  readonly result: Promise<Result>;
  readonly abort: AbortController;
  readonly listeners: Set<(progress: Progress) => void>;
  latest: Progress | undefined;
}

export interface Passenger<Progress> {
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: Progress) => void) | undefined;
}

/**
 * Callers with the same key share one run of `work`. A caller that leaves gets `cancelled` at once, unless it was the
 * last one: then the work is aborted, and it waits, as a new caller does, until that has cleaned up.
 */
export class SingleFlight<Result, Progress> {
  readonly #flights = new Map<string, Flight<Result, Progress>>();

  async join(
    key: string,
    passenger: Passenger<Progress>,
    work: (signal: AbortSignal, onProgress: (progress: Progress) => void) => Promise<Result>,
  ): Promise<Result> {
    for (;;) {
      if (passenger.signal?.aborted === true) throw cancelled();
      const flight = this.#flights.get(key);
      if (flight === undefined) return await this.#board(key, this.#start(key, work), passenger);
      if (!flight.abort.signal.aborted) return await this.#board(key, flight, passenger);
      await abandonable(flight.result.then(ignore, ignore), passenger.signal);
    }
  }

  #start(
    key: string,
    work: (signal: AbortSignal, onProgress: (progress: Progress) => void) => Promise<Result>,
  ): Flight<Result, Progress> {
    const abort = new AbortController();
    const listeners = new Set<(progress: Progress) => void>();
    const emit = (progress: Progress): void => {
      flight.latest = progress;
      for (const listener of listeners) listener(progress);
    };
    const result = Promise.resolve()
      .then(() => work(abort.signal, emit))
      .finally(() => this.#flights.delete(key));
    result.catch(ignore); // every passenger may have left
    const flight: Flight<Result, Progress> = { result, abort, listeners, latest: undefined };
    this.#flights.set(key, flight);
    return flight;
  }

  async #board(key: string, flight: Flight<Result, Progress>, passenger: Passenger<Progress>): Promise<Result> {
    // One function object per passenger: two of them may have passed the same callback.
    const listener = (progress: Progress): void => passenger.onProgress?.(progress);
    flight.listeners.add(listener);
    if (flight.latest !== undefined) listener(flight.latest);
    try {
      return await abandonable(flight.result, passenger.signal);
    } finally {
      flight.listeners.delete(listener);
      if (flight.listeners.size === 0 && this.#flights.get(key) === flight) {
        flight.abort.abort();
        await flight.result.then(ignore, ignore);
      }
    }
  }
}

/** `promise`, or `cancelled` as soon as `signal` says so. */
async function abandonable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  return await new Promise<T>((resolve, reject) => {
    const leave = (): void => reject(cancelled());
    signal.addEventListener("abort", leave, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}

const cancelled = (): PyroError => new PyroError("cancelled", "the caller went away");
const ignore = (): void => undefined;
