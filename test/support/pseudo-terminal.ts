/**
 * A shell script on a pseudo-terminal of the host, followed by what it shows: script(1) of util-linux gives it one, and
 * types on it what comes on its own standard input.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { PyroError } from "../../src/contract/error.ts";
import { withDeadline } from "../../src/host/deadline.ts";

const DEADLINE_MS = 120_000;

export class PseudoTerminal {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  readonly #listeners = new Set<() => void>();
  #shown = "";
  #over = false;

  /** `script` gets `words` as its arguments. */
  constructor(script: string, words: readonly string[], env: NodeJS.ProcessEnv) {
    const line = ["sh", "-c", script, "sh", ...words].map(quoted).join(" ");
    this.#child = spawn("script", ["--quiet", "--return", "--command", `exec ${line}`, "/dev/null"], { env });
    this.#closed = once(this.#child, "close");
    this.#child.stdout?.on("data", (piece: Buffer) => {
      this.#shown += piece.toString();
      this.#tell();
    });
    void this.#closed.then(() => {
      this.#over = true;
      this.#tell();
    });
  }

  get shown(): string {
    return this.#shown;
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Nothing more is typed: script(1) types Ctrl-D. */
  endInput(): void {
    this.#child.stdin?.end();
  }

  /** Changes its size from outside, as a window is changed; `path` is what tty(1) said in it. */
  resize(path: string, columns: number, rows: number): void {
    execFileSync("stty", ["-F", path, "cols", String(columns), "rows", String(rows)]);
  }

  /** Waits until it shows what `pattern` matches. */
  async shows(pattern: RegExp): Promise<RegExpExecArray> {
    let listener: (() => void) | undefined;
    const found = new Promise<RegExpExecArray>((settle, reject) => {
      listener = () => {
        const match = pattern.exec(this.#shown);
        if (match !== null) settle(match);
        else if (this.#over) reject(this.#silent(pattern, "ended"));
      };
      this.#listeners.add(listener);
      listener();
    });
    try {
      return await withDeadline(found, DEADLINE_MS, () => this.#silent(pattern, "has not come that far"));
    } finally {
      if (listener !== undefined) this.#listeners.delete(listener);
    }
  }

  /** Waits for its end; all that it showed. */
  async end(): Promise<string> {
    await withDeadline(this.#closed, DEADLINE_MS, () => this.#silent(/its end/, "goes on"));
    return this.#shown;
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  #silent(pattern: RegExp, what: string): PyroError {
    return new PyroError(
      "deadline_exceeded",
      `waiting for ${pattern}, it ${what}; it showed: ${JSON.stringify(this.#shown)}`,
    );
  }
}

const quoted = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`;
