import type { PyroError } from "../contract/error.ts";

/** The value of `promise`, or the error that `late` makes when it has not settled after `deadlineMs`. */
export async function withDeadline<T>(promise: Promise<T>, deadlineMs: number, late: () => PyroError): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), deadlineMs);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
