/** Where the CLI's text goes: results to standard output, everything else to standard error. */

export interface Output {
  /** Text of a result. */
  readonly result: (text: string) => void;
  /** One of pyro's own lines. */
  readonly note: (line: string) => void;
  /** Whether notes go to a terminal that can redraw a line. */
  readonly interactive: boolean;
}

/** `quiet` leaves out the notes. */
export function makeOutput({ quiet }: { quiet: boolean }): Output {
  return {
    result: (text) => void process.stdout.write(text),
    note: (line) => void (quiet || process.stderr.write(`${line}\n`)),
    interactive: !quiet && process.stderr.isTTY && process.env["TERM"] !== "dumb" && process.env["CI"] === undefined,
  };
}
