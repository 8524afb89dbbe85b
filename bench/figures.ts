/** What the bench measures: every figure is a ratio against a baseline of the same run. */

export interface Figure {
  readonly name: string;
  /** What it is a ratio to; null for a figure that stands for itself, in its unit. */
  readonly baseline: string | null;
  /** Of the samples. */
  readonly unit: "ms" | "MB";
  /** Largest ratio that keeps the promise; for throughput the smallest. */
  readonly mustReach: number;
  readonly aim: number;
  /** Whether a larger ratio is the better one. */
  readonly largerIsBetter: boolean;
}

export interface Measurement extends Figure {
  /** Median of the samples over the median of the baseline's; without a baseline the median itself. */
  readonly ratio: number;
  readonly samples: readonly number[];
  readonly baselineSamples: readonly number[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The figure's ratio; for throughput the baseline's time over ours, since the same bytes are moved. */
export function measured(figure: Figure, samples: readonly number[], baselineSamples: readonly number[]): Measurement {
  const ours = median(samples);
  const theirs = figure.baseline === null ? 1 : median(baselineSamples);
  return { ...figure, ratio: figure.largerIsBetter ? theirs / ours : ours / theirs, samples, baselineSamples };
}

export function verdict({ ratio, mustReach, aim, largerIsBetter }: Measurement): "aim" | "reached" | "missed" {
  const within = (limit: number): boolean => (largerIsBetter ? ratio >= limit : ratio <= limit);
  if (within(aim)) return "aim";
  return within(mustReach) ? "reached" : "missed";
}

export function printTable(measurements: readonly Measurement[]): string {
  const rows = measurements.map((each) => {
    const sign = each.largerIsBetter ? "≥" : "≤";
    const unit = each.baseline === null ? ` ${each.unit}` : "";
    return [
      each.name,
      each.baseline === null ? rounded(each.ratio) + unit : each.ratio.toFixed(3),
      `${sign} ${each.mustReach}${unit}`,
      `${sign} ${each.aim}${unit}`,
      verdict(each),
      each.baseline === null
        ? "–"
        : `${rounded(median(each.samples))} / ${rounded(median(each.baselineSamples))} ${each.unit}`,
      each.baseline ?? "–",
    ];
  });
  const header = ["figure", "ratio", "must reach", "aim", "verdict", "medians", "baseline"];
  return [header, header.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** Whole numbers where they say enough. */
const rounded = (value: number): string => value.toFixed(value < 20 ? 1 : 0);

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
