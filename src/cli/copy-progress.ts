/** How far a copy to or from a workspace is. */
import type { CopyEvent } from "../contract/file-operations.ts";
import { lineReporter, type LineReporter } from "./line-reporter.ts";
import type { Output } from "./output.ts";
import { bytesText } from "./render/units.ts";

export interface CopyReporter {
  readonly report: (event: CopyEvent) => void;
  /** Leaves the line, so that others can follow. */
  readonly end: LineReporter["end"];
}

/** Reports to `output`: one line that changes on a terminal, a line now and then elsewhere. */
export function copyReporter(output: Output): CopyReporter {
  const { report, end } = lineReporter(output);
  return {
    report: ({ entries, bytes }) => report(`[copy] entries=${entries} bytes=${bytes}`, ` (${bytesText(bytes)})`),
    end,
  };
}
