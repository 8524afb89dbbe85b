/**
 * A shell script on a pseudo-terminal of the host, followed by what it shows: script(1) of util-linux gives it one, and
 * types on it what comes on its own standard input.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { withDeadline } from "../../src/host/deadline.ts";
import { AwaitedWords } from "./awaited-words.ts";

const DEADLINE_MS = 120_000;

export class PseudoTerminal {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  readonly #words = new AwaitedWords(() => JSON.stringify(this.#shown));
  #shown = "";

  /** `script` gets `words` as its arguments. */
  constructor(script: string, words: readonly string[], env: NodeJS.ProcessEnv) {
    const [file = "", ...rest] = onTerminal(["sh", "-c", script, "sh", ...words]);
    this.#child = spawn(file, rest, { env });
    this.#closed = once(this.#child, "close");
    this.#child.stdout?.on("data", (piece: Buffer) => {
      this.#shown += piece.toString();
      this.#words.tell();
    });
    void this.#closed.then(() => this.#words.end());
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
    return await this.#words.match(pattern, () => this.#shown, DEADLINE_MS);
  }

  /** Waits for its end; all that it showed. */
  async end(): Promise<string> {
    await withDeadline(this.#closed, DEADLINE_MS, () => this.#words.silent(/its end/, "goes on"));
    return this.#shown;
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

/**
 * script(1), which gives a program a pseudo-terminal and ends as it does. `exec`: an interrupt that is typed would end its shell as
 * well, and the shell's end be the one that is reported.
 */
export function onTerminal(line: readonly string[]): string[] {
  return ["script", "--quiet", "--return", "--command", `exec ${line.map(quoted).join(" ")}`, "/dev/null"];
}

const quoted = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`;
