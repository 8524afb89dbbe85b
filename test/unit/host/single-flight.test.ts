import assert from "node:assert/strict";
import { test } from "node:test";
import { SingleFlight } from "../../../src/host/single-flight.ts";

/** Work that ends when told to, and says when it was cancelled. */
function controlledWork(): {
  work: (signal: AbortSignal, note: (text: string) => void) => Promise<number>;
  finish: (value: number) => void;
  starts: () => number;
  cancelled: () => number;
} {
  let finish: (value: number) => void = () => undefined;
  let starts = 0;
  let cancelled = 0;
  return {
    work: async (signal, note) => {
      starts += 1;
      note("started");
      return await new Promise<number>((resolve, reject) => {
        finish = resolve;
        signal.addEventListener("abort", () => {
          cancelled += 1;
          reject(new Error("cancelled"));
        });
      });
    },
    finish: (value) => finish(value),
    starts: () => starts,
    cancelled: () => cancelled,
  };
}

const caller = (
  signal = new AbortController().signal,
): { signal: AbortSignal; onProgress: (note: string) => void } => ({
  signal,
  onProgress: () => undefined,
});

test("single flight: two callers share one piece of work", async () => {
  const flights = new SingleFlight<number, string>();
  const { work, finish, starts } = controlledWork();
  const both = Promise.all([flights.join("k", caller(), work), flights.join("k", caller(), work)]);
  await new Promise((resolve) => setImmediate(resolve));
  finish(7);
  assert.deepEqual(await both, [7, 7]);
  assert.equal(starts(), 1);
});

test("single flight: one who leaves does not disturb the other; the last one cancels", async () => {
  const flights = new SingleFlight<number, string>();
  const { work, finish, cancelled } = controlledWork();
  const leaver = new AbortController();
  const left = flights.join("k", caller(leaver.signal), work);
  const stays = flights.join("k", caller(), work);
  leaver.abort();
  await assert.rejects(left, { code: "cancelled" });
  assert.equal(cancelled(), 0);
  finish(1);
  assert.equal(await stays, 1);

  const last = new AbortController();
  const alone = flights.join("k", caller(last.signal), work);
  await new Promise((resolve) => setImmediate(resolve));
  last.abort();
  await assert.rejects(alone, { code: "cancelled" });
  assert.equal(cancelled(), 1);
});

test("single flight: a failure reaches everybody and the next caller starts afresh", async () => {
  const flights = new SingleFlight<number, string>();
  const failing = async (): Promise<number> => await Promise.reject(new Error("no"));
  await assert.rejects(Promise.all([flights.join("k", caller(), failing), flights.join("k", caller(), failing)]), /no/);
  assert.equal(await flights.join("k", caller(), async () => await Promise.resolve(2)), 2);
});
