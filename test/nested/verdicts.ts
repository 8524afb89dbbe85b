/** A test program that runs inside the nested machine, and what it says of each of its tests (scripts/suite/reporter.mjs). */
import { StringDecoder } from "node:string_decoder";
import { INSIDE } from "./places.ts";
import type { NestedMachine } from "./nested-machine.ts";

export interface Verdict {
  readonly kind: "passed" | "failed" | "skipped";
  readonly name: string;
  readonly reason?: string;
}

/** Bytes of what else the program says that are kept for an error. */
const LOG_CHARS_MAX = 16_384;

export class TestProgram {
  readonly #verdicts = new Map<string, Verdict>();
  readonly #waiting = new Map<string, (verdict: Verdict) => void>();
  readonly #ended: Promise<never>;
  readonly #decoder = new StringDecoder();
  #line = "";
  #log = "";

  /** Starts the compiled test file `path` (relative to the checkout) with `env` added to its environment. */
  constructor(machine: NestedMachine, path: string, options: { env: Record<string, string>; timeLimitMs: number }) {
    const reporters = [
      ...["--test-reporter=./scripts/suite/reporter.mjs", "--test-reporter-destination=stdout"],
      // For the log: errors with all that they carry.
      ...["--test-reporter=spec", "--test-reporter-destination=stderr"],
    ];
    const command = ["node", "--enable-source-maps", "--disable-warning=ExperimentalWarning", ...reporters, path];
    const run = machine.exec({
      command,
      cwd: INSIDE.payload,
      ...options,
      onOutput: (stream, data) =>
        stream === "stdout" ? this.#take(this.#decoder.write(Buffer.from(data))) : this.#note(data),
    });
    this.#ended = run.then(({ exitCode, timedOut }) => {
      const how = timedOut ? `was ended after ${options.timeLimitMs} ms` : `ended with ${exitCode}`;
      const strays = [...this.#verdicts.values()].filter(({ kind }) => kind === "failed").map(({ name }) => name);
      throw new Error(
        `the test program ${how} and said nothing of this case; failed: ${strays.join(", ")}\n${this.#log}`,
      );
    });
    // A machine that is gone, or stands still, says why on its console if anywhere.
    run.catch(() => this.#note(Buffer.from(`\nconsole of the nested machine:\n${machine.console()}\n`)));
    this.#ended.catch(() => undefined);
  }

  /** What was said of the test `name`, as soon as it is. @throws when the program ends without a word on it */
  async of(name: string): Promise<Verdict> {
    const known = this.#verdicts.get(name);
    if (known !== undefined) return known;
    return await Promise.race([new Promise<Verdict>((resolve) => this.#waiting.set(name, resolve)), this.#ended]);
  }

  /** The last that the program said beside its verdicts. */
  log(): string {
    return this.#log;
  }

  /** Settles when the program has ended; the names of all tests it had. */
  async names(): Promise<string[]> {
    await this.#ended.catch(() => undefined);
    return [...this.#verdicts.keys()];
  }

  #take(text: string): void {
    const lines = (this.#line + text).split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) {
      const verdict = parse(line);
      if (verdict === undefined) this.#note(Buffer.from(`${line}\n`));
      else {
        this.#verdicts.set(verdict.name, verdict);
        this.#waiting.get(verdict.name)?.(verdict);
      }
    }
  }

  #note(data: Uint8Array): void {
    this.#log = (this.#log + Buffer.from(data).toString()).slice(-LOG_CHARS_MAX);
  }
}

function parse(line: string): Verdict | undefined {
  try {
    const value = JSON.parse(line) as Partial<Verdict>;
    return value.kind === undefined || value.name === undefined ? undefined : (value as Verdict);
  } catch {
    return undefined;
  }
}
