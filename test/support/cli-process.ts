/** The built CLI as a process of its own, followed as a person follows it: by what it says. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { PyroError } from "../../src/contract/error.ts";
import { withDeadline } from "../../src/host/deadline.ts";
import { CLI } from "./guest-host.ts";

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
  readonly #listeners = new Set<() => void>();
  #over = false;

  constructor(args: readonly string[], { env = {}, streams = "pipes" }: CliOptions = {}) {
    const [file = "", ...words] = STREAMS[streams]([process.execPath, CLI, ...args]);
    this.child = spawn(file, words, { env: { ...process.env, ...env } });
    this.#ended = once(this.child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
    for (const name of ["stdout", "stderr"] as const) {
      this.child[name]?.on("data", (piece: Buffer) => {
        this.#heard[name].push(piece);
        for (const listener of this.#listeners) listener();
      });
    }
    void this.#ended.then(() => {
      this.#over = true;
      for (const listener of this.#listeners) listener();
    });
  }

  get stdout(): Buffer {
    return Buffer.concat(this.#heard.stdout);
  }

  get stderr(): string {
    return Buffer.concat(this.#heard.stderr).toString();
  }

  /** Waits until standard error, or `stream`, has what `pattern` matches. @throws when it ends, or at the deadline */
  async says(pattern: RegExp, stream: "stdout" | "stderr" = "stderr"): Promise<RegExpExecArray> {
    const look = (): RegExpExecArray | null => pattern.exec(this[stream].toString());
    let listener: (() => void) | undefined;
    const found = new Promise<RegExpExecArray>((settle, reject) => {
      listener = () => {
        const match = look();
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

  /** How it ended, with all it said. */
  async end(deadlineMs = DEADLINE_MS): Promise<CliEnd> {
    const [code, signal] = await withDeadline(this.#ended, deadlineMs, () => this.#silent(/its end/, "goes on"));
    return { code, signal, stdout: this.stdout, stderr: this.stderr };
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  [Symbol.dispose](): void {
    this.child.kill("SIGKILL");
  }

  #silent(pattern: RegExp, what: string): PyroError {
    const said = `stdout: ${this.stdout.toString().slice(-2000)}\nstderr: ${this.stderr.slice(-2000)}`;
    return new PyroError("deadline_exceeded", `waiting for ${pattern}, the CLI ${what}\n${said}`);
  }
}

/**
 * script(1) of util-linux, which gives a program a pseudo-terminal and ends as it does. `exec`: an interrupt that is typed
 * would end its shell as well, and the shell's end be the one that is reported.
 */
function onTerminal(line: readonly string[]): string[] {
  const quoted = line.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(" ");
  return ["script", "--quiet", "--return", "--command", `exec ${quoted}`, "/dev/null"];
}
