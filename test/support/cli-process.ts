/** The built CLI as a process of its own, followed as a person follows it: by what it says. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { withDeadline } from "../../src/host/deadline.ts";
import { AwaitedWords } from "./awaited-words.ts";
import { CLI } from "./guest-host.ts";
import { onTerminal } from "./pseudo-terminal.ts";

/** A guest's start, its template's making included, on a busy host that emulates. */
const DEADLINE_MS = 120_000;

export interface CliEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface CliOptions {
  readonly env?: NodeJS.ProcessEnv;
  /**
   * What its standard streams are. `terminal`: a pseudo-terminal, which shows all as standard output and is typed on by
   * the pipe of standard input. `closed-input`: no descriptor 0. Default: a pipe for each.
   */
  readonly streams?: keyof typeof STREAMS;
}

const STREAMS = {
  pipes: (line: readonly string[]) => [...line],
  terminal: onTerminal,
  "closed-input": (line: readonly string[]) => ["sh", "-c", 'exec "$@" <&-', "sh", ...line],
};

export class CliProcess {
  readonly child: ChildProcess;
  readonly #ended: Promise<[number | null, NodeJS.Signals | null]>;
  readonly #heard = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  readonly #words = new AwaitedWords(
    () => `stdout: ${this.stdout.toString().slice(-2000)}\nstderr: ${this.stderr.slice(-2000)}`,
  );

  constructor(args: readonly string[], { env = {}, streams = "pipes" }: CliOptions = {}) {
    const [file = "", ...words] = STREAMS[streams]([process.execPath, CLI, ...args]);
    this.child = spawn(file, words, { env: { ...process.env, ...env } });
    this.#ended = once(this.child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
    for (const name of ["stdout", "stderr"] as const) {
      this.child[name]?.on("data", (piece: Buffer) => {
        this.#heard[name].push(piece);
        this.#words.tell();
      });
    }
    void this.#ended.then(() => this.#words.end());
  }

  get stdout(): Buffer {
    return Buffer.concat(this.#heard.stdout);
  }

  get stderr(): string {
    return Buffer.concat(this.#heard.stderr).toString();
  }

  /** Waits until standard error, or `stream`, has what `pattern` matches. @throws when it ends, or at the deadline */
  async says(pattern: RegExp, stream: "stdout" | "stderr" = "stderr"): Promise<RegExpExecArray> {
    return await this.#words.match(pattern, () => this[stream].toString(), DEADLINE_MS);
  }

  /** How it ended, with all it said. */
  async end(deadlineMs = DEADLINE_MS): Promise<CliEnd> {
    const [code, signal] = await withDeadline(this.#ended, deadlineMs, () => this.#words.silent(/its end/, "goes on"));
    return { code, signal, stdout: this.stdout, stderr: this.stderr };
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  [Symbol.dispose](): void {
    this.child.kill("SIGKILL");
  }
}
