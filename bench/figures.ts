/** What the bench measures: every figure is a ratio against a baseline of the same run. */

export interface Figure {
  readonly name: string;
  readonly baseline: string;
  /** Largest ratio that keeps the promise; for throughput the smallest. */
  readonly mustReach: number;
  readonly aim: number;
  /** Whether a larger ratio is the better one. */
  readonly largerIsBetter: boolean;
}

export interface Measurement extends Figure {
  /** Median of the samples over the median of the baseline's. */
  readonly ratio: number;
  readonly samplesMs: readonly number[];
  readonly baselineSamplesMs: readonly number[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The figure's ratio; for throughput the baseline's time over ours, since the same bytes are moved. */
export function measured(
  figure: Figure,
  samplesMs: readonly number[],
  baselineSamplesMs: readonly number[],
): Measurement {
  const ours = median(samplesMs);
  const theirs = median(baselineSamplesMs);
  return { ...figure, ratio: figure.largerIsBetter ? theirs / ours : ours / theirs, samplesMs, baselineSamplesMs };
}

export function verdict({ ratio, mustReach, aim, largerIsBetter }: Measurement): "aim" | "reached" | "missed" {
  const within = (limit: number): boolean => (largerIsBetter ? ratio >= limit : ratio <= limit);
  if (within(aim)) return "aim";
  return within(mustReach) ? "reached" : "missed";
}

export function printTable(measurements: readonly Measurement[]): string {
  const rows = measurements.map((each) => [
    each.name,
    each.ratio.toFixed(3),
    `${each.largerIsBetter ? "≥" : "≤"} ${each.mustReach}`,
    `${each.largerIsBetter ? "≥" : "≤"} ${each.aim}`,
    verdict(each),
    `${Math.round(median(each.samplesMs))} / ${Math.round(median(each.baselineSamplesMs))} ms`,
    each.baseline,
  ]);
  const header = ["figure", "ratio", "must reach", "aim", "verdict", "medians", "baseline"];
  return [header, header.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Runs both in turn, so that load on the machine meets both alike; `baseline` gives milliseconds, as does `ours`. */
export async function paired(
  count: number,
  ours: () => Promise<number>,
  baseline: () => Promise<number>,
): Promise<{ ours: number[]; baseline: number[] }> {
  const samples: { ours: number[]; baseline: number[] } = { ours: [], baseline: [] };
  for (let index = 0; index < count; index += 1) {
    samples.baseline.push(await baseline());
    samples.ours.push(await ours());
  }
  return samples;
}
