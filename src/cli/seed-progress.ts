/** How far a new seed is, and what is to be known of it. */
import type { CreateEvent, WorkspaceSummary } from "../contract/workspace.ts";
import type { Output } from "./output.ts";
import { printable } from "./printable.ts";
import { bytesText } from "./render/units.ts";

type SeedEvent = Extract<CreateEvent, { type: "seed" }>;

/** Between two lines where nobody watches them come; a small seed is done before the first. */
const LINE_INTERVAL_MS = 10_000;
const CLEAR_LINE = "\r\u001b[K";

export interface SeedReporter {
  readonly report: (event: SeedEvent) => void;
  /** Leaves the line, so that others can follow. */
  readonly end: () => void;
}

/** Reports to `output`: one line that changes on a terminal, a line now and then elsewhere. */
export function seedReporter(output: Output): SeedReporter {
  let last = performance.now();
  let isOpen = false;
  return {
    report: ({ phase, entries, bytes }) => {
      const line = `[seed] phase=${phase} entries=${entries} bytes=${bytes}`;
      if (output.interactive) {
        isOpen = true;
        process.stderr.write(`${CLEAR_LINE}${line} (${bytesText(bytes)})`);
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

/** One line for each thing that was left out, taken out, or may be secret. */
export function warnOfSeed({ workspace_seed: seed }: WorkspaceSummary, { note }: Output): void {
  for (const warning of seed.warnings) note(`[warning] ${printable(warning)}`);
}
