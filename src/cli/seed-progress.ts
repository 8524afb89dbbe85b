/** How far a new seed is, and what is to be known of it. */
import type { CreateEvent, WorkspaceSummary } from "../contract/workspace.ts";
import { lineReporter, type LineReporter } from "./line-reporter.ts";
import type { Output } from "./output.ts";
import { printable } from "./printable.ts";
import { bytesText } from "./render/units.ts";

type SeedEvent = Extract<CreateEvent, { type: "seed" }>;

export interface SeedReporter {
  readonly report: (event: SeedEvent) => void;
  /** Leaves the line, so that others can follow. */
  readonly end: LineReporter["end"];
}

/** Reports to `output`: one line that changes on a terminal, a line now and then elsewhere. */
export function seedReporter(output: Output): SeedReporter {
  const { report, end } = lineReporter(output);
  return {
    report: ({ phase, entries, bytes }) =>
      report(`[seed] phase=${phase} entries=${entries} bytes=${bytes}`, ` (${bytesText(bytes)})`),
    end,
  };
}

/** One line for each thing that was left out, taken out, or may be secret. */
export function warnOfSeed({ workspace_seed: seed }: WorkspaceSummary, { note }: Output): void {
  for (const warning of seed.warnings) note(`[warning] ${printable(warning)}`);
}
