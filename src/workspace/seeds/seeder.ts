/** Running pyro-seed (seed/): what a directory has, as a stamp of its state or as a stream of all that is in it. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { PyroError } from "../../contract/error.ts";
import { ended, startProgram } from "../../host/process.ts";

/** Looking at a million names on a slow disk. */
const LIST_DEADLINE_MS = 600_000;
/** Reading as much as a volume holds, from a slow disk. */
const PACK_DEADLINE_MS = 4 * 3_600_000;

/** Exit statuses of pyro-seed (seed/src/main.rs) that are no failure of its own. */
const UNREADABLE = 66;
const CHANGED = 75;
const OUTPUT_FAILED = 74;
const INVALID = 65;

/** What is read: a directory, or the part of it that a list names. */
export interface SeedSource {
  readonly directory: string;
  /** The paths that are wanted, each with a NUL behind it; undefined: all. */
  readonly only: Uint8Array | undefined;
}

/** What was in the source. */
export interface SourceContent {
  readonly entries: number;
  readonly bytes: number;
  /** What its files take on the disk. */
  readonly diskBytes: number;
  /** The latest change of anything in it, nanoseconds since the Unix epoch. */
  readonly newestNs: bigint;
  /** Sockets, fifos and devices, which have no place in a tree: how many, and the first ones. */
  readonly skippedCount: number;
  readonly skipped: readonly string[];
  /** Files that by their names hold secrets: the first ones. */
  readonly secrets: readonly string[];
  /** Git configurations that credentials were taken out of, in the stream. */
  readonly redacted: readonly string[];
  /** Worktrees and submodules whose repositories are no part of it: the first ones, with where those are. */
  readonly elsewhere: readonly string[];
}

export interface SeederOptions {
  /** The program. */
  readonly program: string;
  readonly signal: AbortSignal;
  readonly onStep: (step: { entries: number; bytes: number }) => void;
}

/**
 * What the source has, and a stamp that no change of it leaves as it is.
 * @throws PyroError permission_denied naming what cannot be read, invalid_state when it changes, not_found
 */
export async function listSource(
  source: SeedSource,
  options: SeederOptions,
): Promise<{ stamp: string; content: SourceContent }> {
  const hash = createHash("sha256");
  const content = await run("list", source, options, { stdout: "pipe", onData: (data) => void hash.update(data) });
  return { stamp: hash.digest("hex"), content };
}

/**
 * Writes the source as a stream to a new file.
 * @throws PyroError as listSource; resource_exhausted when the disk is full
 */
export async function packSource(source: SeedSource, target: string, options: SeederOptions): Promise<SourceContent> {
  const file = await open(target, "wx", 0o600);
  try {
    return await run("pack", source, options, { stdout: file.fd, onData: () => undefined });
  } finally {
    await file.close();
  }
}

/**
 * Writes what a tar archive, which is not compressed, has as a stream to a new file; `name` is what it is called.
 * @throws PyroError invalid_argument when it is none, or has what no tree can have; resource_exhausted
 */
export async function packArchive(
  { archive, name }: { archive: string; name: string },
  target: string,
  options: SeederOptions,
): Promise<SourceContent> {
  const file = await open(target, "wx", 0o600);
  try {
    return await runWith(["tar", archive], name, options, { stdout: file.fd, onData: () => undefined });
  } finally {
    await file.close();
  }
}

/**
 * Gives `consume` the stream of a source as it is read, or of an archive that is not compressed; `name` is what that is called. Its last
 * bytes come only when all was read well: whoever takes the stream fails with what the reading did.
 * @throws PyroError as packSource and packArchive; what `consume` throws
 */
export async function pipeStream(
  source: SeedSource | { readonly archive: string; readonly name: string },
  options: SeederOptions,
  consume: (stream: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<SourceContent> {
  const [words, name] =
    "archive" in source ? [["tar", source.archive], source.name] : [wordsOf("pack", source), source.directory];
  const { program, signal, onStep } = options;
  const child = startProgram(program, words, { env: { LC_ALL: "C" }, cwd: "/", stdio: ["pipe", "pipe", "pipe"] });
  child.stdin?.on("error", () => undefined);
  child.stdin?.end("only" in source ? source.only : undefined);
  const said = new Said(onStep);
  const listening = said.listen(child.stderr as Readable);
  const read = (async () => {
    const { code, signal: killedBy } = await ended(child, program, { deadlineMs: PACK_DEADLINE_MS, signal });
    await listening;
    if (code !== 0 || said.content === undefined) throw said.failure(code, killedBy, name);
    return said.content;
  })();
  // It is awaited once the stream is at its end, or not taken any more.
  read.catch(() => undefined);
  const stdout = child.stdout as Readable;
  try {
    await consume(whole(stdout, read));
  } catch (failure) {
    child.kill("SIGKILL");
    // What nobody reads would keep it from being over.
    stdout.destroy();
    await read.catch(() => undefined);
    throw failure;
  }
  return await read;
}

/** All pieces, the last one when it is known that it is the last. */
async function* whole(stream: Readable, read: Promise<unknown>): AsyncGenerator<Uint8Array> {
  let last: Uint8Array | undefined;
  for await (const piece of stream) {
    if (last !== undefined) yield last;
    last = piece as Uint8Array;
  }
  await read;
  if (last !== undefined) yield last;
}

const wordsOf = (mode: "list" | "pack", { directory, only }: SeedSource): string[] => [
  mode,
  directory,
  ...(only === undefined ? [] : ["-"]),
];

async function run(
  mode: "list" | "pack",
  source: SeedSource,
  options: SeederOptions,
  output: Output,
): Promise<SourceContent> {
  return await runWith(wordsOf(mode, source), source.directory, options, { ...output, input: source.only });
}

/** Where the program's output goes. */
interface Output {
  readonly stdout: "pipe" | number;
  readonly onData: (data: Buffer) => void;
  readonly input?: Uint8Array | undefined;
}

async function runWith(
  words: readonly string[],
  name: string,
  { program, signal, onStep }: SeederOptions,
  { stdout, onData, input }: Output,
): Promise<SourceContent> {
  const child = startProgram(program, words, { env: { LC_ALL: "C" }, cwd: "/", stdio: ["pipe", stdout, "pipe"] });
  // One that ends without reading says why.
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(input);
  child.stdout?.on("data", onData);
  const said = new Said(onStep);
  const listening = said.listen(child.stderr as Readable);
  const deadlineMs = words[0] === "list" ? LIST_DEADLINE_MS : PACK_DEADLINE_MS;
  const { code, signal: killedBy } = await ended(child, program, { deadlineMs, signal });
  await listening;
  if (code === 0 && said.content !== undefined) return said.content;
  throw said.failure(code, killedBy, name);
}

/** What pyro-seed says on standard error: lines of fields with tabs between them (seed/src/report.rs). */
class Said {
  readonly #onStep: SeederOptions["onStep"];
  readonly #skipped: string[] = [];
  readonly #secrets: string[] = [];
  readonly #redacted: string[] = [];
  readonly #elsewhere: string[] = [];
  readonly #unreadable: string[] = [];
  #unreadableCount = 0;
  #last: readonly string[] = [];
  content: SourceContent | undefined;

  constructor(onStep: SeederOptions["onStep"]) {
    this.#onStep = onStep;
  }

  async listen(stream: Readable): Promise<void> {
    for await (const line of createInterface({ input: stream })) this.#take(line.split("\t"));
  }

  #take(fields: readonly string[]): void {
    const [tag, first = "", second = ""] = fields;
    if (tag === "progress") this.#onStep({ entries: Number(first), bytes: Number(second) });
    else if (tag === "skipped") this.#skipped.push(`${second} (${first})`);
    else if (tag === "secret") this.#secrets.push(first);
    else if (tag === "redacted") this.#redacted.push(first);
    else if (tag === "elsewhere") this.#elsewhere.push(`${first} (${second})`);
    else if (tag === "unreadable") this.#unreadable.push(`${second} (${first})`);
    else if (tag === "total") this.#total(fields);
    else this.#last = fields;
  }

  #total([, entries, bytes, skipped, unreadable, diskBytes, newest]: readonly string[]): void {
    this.#unreadableCount = Number(unreadable);
    this.content = {
      entries: Number(entries),
      bytes: Number(bytes),
      diskBytes: Number(diskBytes),
      newestNs: BigInt(newest ?? 0),
      skippedCount: Number(skipped),
      skipped: this.#skipped,
      secrets: this.#secrets,
      redacted: this.#redacted,
      elsewhere: this.#elsewhere,
    };
  }

  failure(code: number | null, signal: string | null, directory: string): PyroError {
    const [tag = "", first = "", second = ""] = this.#last;
    if (code === UNREADABLE) {
      const count = this.#unreadableCount;
      const more = count > this.#unreadable.length ? ` and ${count - this.#unreadable.length} more` : "";
      const what = `${count === 1 ? "an entry" : `${count} entries`} of ${directory}`;
      return new PyroError("permission_denied", `${what} cannot be read: ${this.#unreadable.join(", ")}${more}`, {
        remedy: "make them readable, or leave out what git ignores (--seed-ignore, or --ignore of a sync)",
      });
    }
    if (code === CHANGED) return changedWhileRead(directory, first);
    if (code === OUTPUT_FAILED) {
      const full = first.includes("No space left");
      return new PyroError(full ? "resource_exhausted" : "internal", `the seed's stream cannot be written: ${first}`, {
        ...(full ? { remedy: "free some space, or set PYRO_STATE_DIR to a larger disk" } : {}),
      });
    }
    if (code === INVALID) {
      return new PyroError("invalid_argument", `${directory} is not taken, as a whole: ${first}`, {
        remedy: "make the archive anew, of what it is to have and with names below one directory",
      });
    }
    if (tag === "failed" && first.startsWith("No such file")) return new PyroError("not_found", `${second}: ${first}`);
    const why = tag === "failed" ? `${second}: ${first}` : "its reader failed";
    return new PyroError(tag === "failed" ? "permission_denied" : "internal", `${directory} cannot be read: ${why}`, {
      evidence: { exit: code ?? signal ?? "signal" },
    });
  }
}

/** A source that does not stay as it is while it is read. */
export function changedWhileRead(directory: string, path: string): PyroError {
  const what = path === "" ? directory : `${path} of ${directory}`;
  return new PyroError("invalid_state", `${what} was changed while it was read`, {
    remedy: "end what writes there (a build, a watcher, an editor), or copy it first, and do it again",
  });
}
