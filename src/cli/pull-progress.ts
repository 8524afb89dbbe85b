/** An environment's installation, as lines or as a bar. */
import type { PullProgress } from "../contract/environment.ts";
import type { Output } from "./output.ts";
import { printable } from "./printable.ts";

/** Between two lines of the same phase where nobody watches them come. */
const LINE_INTERVAL_MS = 2000;
const BAR_CELLS = 24;
const CLEAR_LINE = "\r\u001b[K";

export interface PullReporter {
  readonly report: (progress: PullProgress) => void;
  /** Leaves the line of the bar, so that others can follow. */
  readonly end: () => void;
}

/** Reports to `output` in the way that suits it. */
export function pullReporter(output: Output): PullReporter {
  return output.interactive ? barReporter() : lineReporter(output);
}

function lineReporter({ note }: Output): PullReporter {
  let last = { phase: "", at: 0 };
  return {
    report: (progress) => {
      const now = Date.now();
      if (progress.phase === last.phase && now - last.at < LINE_INTERVAL_MS) return;
      last = { phase: progress.phase, at: now };
      note(lineOf(progress));
    },
    end: () => undefined,
  };
}

function barReporter(): PullReporter {
  let phase = "";
  const end = (): void => {
    if (phase !== "") process.stderr.write("\n");
    phase = "";
  };
  return {
    report: (progress) => {
      if (progress.phase !== phase) end();
      phase = progress.phase;
      const width = Math.max(20, (process.stderr.columns || 80) - 1);
      process.stderr.write(`${CLEAR_LINE}${barOf(progress).slice(0, width)}`);
      if (progress.phase === "ready") end();
    },
    end,
  };
}

function lineOf({ phase, environment, bytes, percent }: PullProgress): string {
  const facts = [`phase=${phase}`, `environment=${printable(environment)}`];
  if (bytes !== undefined) facts.push(`bytes=${bytes}`);
  if (percent !== undefined) facts.push(`percent=${Math.floor(percent)}`);
  return `[pull] ${facts.join(" ")}`;
}

function barOf(progress: PullProgress): string {
  const { phase, environment, bytes, percent, detail } = progress;
  const parts = [`[pull] phase=${phase} environment=${printable(environment)}`];
  if (percent !== undefined) {
    const full = Math.round((Math.min(100, Math.max(0, percent)) / 100) * BAR_CELLS);
    parts.push(`[${"#".repeat(full)}${".".repeat(BAR_CELLS - full)}] ${Math.floor(percent)}%`);
  }
  if (bytes !== undefined) parts.push(`${(bytes / 1024 ** 2).toFixed(1)} MiB`);
  if (detail !== undefined) parts.push(printable(detail));
  return parts.join(" ");
}
