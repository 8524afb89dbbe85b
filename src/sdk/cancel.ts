/** What a caller's AbortSignal means. */
import { PyroError } from "../contract/error.ts";

/** The error that a call ends with when its caller aborted `signal`. */
export function cancelled(signal: AbortSignal): PyroError {
  return PyroError.is(signal.reason)
    ? signal.reason
    : new PyroError("cancelled", "the call was cancelled", { cause: signal.reason });
}

/** `promise`, or `cancelled` as soon as the signal is aborted; what it waits for then goes on by itself. */
export async function unlessCancelled<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  return await new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(cancelled(signal));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
