/** One line that says how far something is. */
import type { Output } from "./output.ts";

/** Between two lines where nobody watches them come; what takes less time is done before the first. */
const LINE_INTERVAL_MS = 10_000;
const CLEAR_LINE = "\r\u001b[K";

export interface LineReporter {
  /** The line, and what is added to it for a person who watches. */
  readonly report: (line: string, aside: string) => void;
  /** Leaves the line, so that others can follow. */
  readonly end: () => void;
}

/** Reports to `output`: one line that changes on a terminal, a line now and then elsewhere. */
export function lineReporter(output: Output): LineReporter {
  let last = performance.now();
  let isOpen = false;
  return {
    report: (line, aside) => {
      if (output.interactive) {
        isOpen = true;
        process.stderr.write(`${CLEAR_LINE}${line}${aside}`);
      } else if (performance.now() - last > LINE_INTERVAL_MS) {
        last = performance.now();
        output.note(line);
      }
    },
    end: () => {
      if (isOpen) process.stderr.write("\n");
      isOpen = false;
    },
  };
}
