import { PyroError } from "../contract/error.ts";

/** Throws `cancelled` when whoever wanted the work does so no more; called between steps that do not look themselves. */
export function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw new PyroError("cancelled", "the pull was cancelled");
}
