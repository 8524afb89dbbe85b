/** What the scripts print: lines of their own begin with a tag, so they are never taken for a tool's output. */

/** A line such as `[setup] installing squashfs-tools`. */
export function say(tag, text) {
  process.stdout.write(`[${tag}] ${text}\n`);
}

/** A failure that the reader can mend: what happened, and the exact thing to do about it. */
export class Refusal extends Error {
  constructor(message, remedy) {
    super(message);
    this.remedy = remedy;
  }
}

/** Prints a failure: a `Refusal` as two lines, anything else with its stack, because it is a bug in a script. */
export function printFailure(failure) {
  if (!(failure instanceof Refusal)) {
    process.stderr.write(`[error] ${failure instanceof Error ? failure.stack : String(failure)}\n`);
    return;
  }
  process.stderr.write(`[error] ${failure.message}\n`);
  if (failure.remedy !== undefined) process.stderr.write(`[error] to mend it: ${failure.remedy}\n`);
}

/** Runs a script's main function; its number, or 1 after a failure, is the exit status. */
export async function runEntry(main) {
  try {
    process.exitCode = (await main(process.argv.slice(2))) ?? 0;
  } catch (failure) {
    printFailure(failure);
    process.exitCode = 1;
  }
}

/** `0.4 s`, `12.0 s`, `3 min 4 s`. */
export function seconds(milliseconds) {
  const total = milliseconds / 1000;
  if (total < 60) return `${total.toFixed(1)} s`;
  return `${Math.floor(total / 60)} min ${Math.round(total % 60)} s`;
}

/** Whether a question can be asked: CI and pipes get the exact command instead. */
export const interactive = () => process.stdin.isTTY && process.stdout.isTTY && !process.env.CI;
