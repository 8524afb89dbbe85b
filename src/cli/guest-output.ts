/** A command's output on its way to ours: untouched, and watched so that our own lines never join one of its lines. */
import { fstatSync } from "node:fs";
import { Writable } from "node:stream";

const NEWLINE = 0x0a;

export interface GuestOutput {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Lets output through from now on: it may come before the event that says that the command runs. */
  readonly open: () => void;
  /** Whether a line written to standard error now would begin in the middle of another. */
  readonly midLine: () => boolean;
}

/** Writes to this process's standard streams, no faster than they take it. */
export function guestOutput(): GuestOutput {
  const shared = sameSink(1, 2);
  let last = { stdout: NEWLINE, stderr: NEWLINE, any: NEWLINE };
  let held: (() => void)[] | undefined = [];
  const pass = (name: "stdout" | "stderr", chunk: Buffer, done: () => void): void => {
    const final = chunk.at(-1) ?? NEWLINE;
    last = { ...last, [name]: final, any: final };
    if (process[name].write(chunk)) done();
    else process[name].once("drain", done);
  };
  const through = (name: "stdout" | "stderr"): Writable =>
    new Writable({
      highWaterMark: 1,
      write: (chunk: Buffer, _encoding, done) => {
        if (held === undefined) pass(name, chunk, done);
        else held.push(() => pass(name, chunk, done));
      },
    });
  return {
    stdout: through("stdout"),
    stderr: through("stderr"),
    open: () => {
      const waiting = held ?? [];
      held = undefined;
      for (const release of waiting) release();
    },
    midLine: () => (shared ? last.any : last.stderr) !== NEWLINE,
  };
}

/** Whether both descriptors end in the same terminal, pipe or file. */
function sameSink(left: number, right: number): boolean {
  try {
    const [one, other] = [fstatSync(left), fstatSync(right)];
    return one.dev === other.dev && one.ino === other.ino;
  } catch {
    // One of them is closed: nothing is shared.
    return false;
  }
}
