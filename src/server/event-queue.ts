/** Events that a handler says at any time, given to the client one by one as it takes them. */

/** Events kept for a client that does not read. Past the limit the newest takes the place of the one before it. */
const EVENTS_QUEUED_MAX = 256;

/**
 * Runs `work` and yields what it emits, then returns its result. Ending the iteration early calls `onAbandoned`.
 */
export function eventsOf<Event, Result>(
  work: (emit: (event: Event) => void) => Promise<Result>,
  onAbandoned: () => void,
): AsyncGenerator<Event, Result, void> {
  const queue: Event[] = [];
  let wake: () => void = () => undefined;
  let finished = false;
  const emit = (event: Event): void => {
    if (finished) return;
    if (queue.length >= EVENTS_QUEUED_MAX) queue.pop();
    queue.push(event);
    wake();
  };
  return (async function* () {
    const result = work(emit).finally(() => {
      finished = true;
      wake();
    });
    // Its failure is thrown below, when the events before it are out.
    result.catch(() => undefined);
    try {
      for (;;) {
        const event = queue.shift();
        if (event !== undefined) yield event;
        else if (finished) return await result;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      if (!finished) onAbandoned();
    }
  })();
}
