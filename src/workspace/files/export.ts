/** Taking files out of a workspace, onto the host or into an archive. What the guest gives is read by pyro-seed, which believes none of it. */
import { randomBytes } from "node:crypto";
import { chmod, lstat, mkdir, rmdir } from "node:fs/promises";
import { basename, dirname, isAbsolute, normalize } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { PyroError } from "../../contract/error.ts";
import { isErrno } from "../../host/files.ts";
import { ended, startProgram } from "../../host/process.ts";
import type { MachineFiles } from "../../machine/guest-files.ts";
import type { CopyPlace } from "./copy-place.ts";
import { nameOf, shownPath } from "./workspace-path.ts";

/** As much as a volume holds, to a slow disk. */
const EXPORT_DEADLINE_MS = 4 * 3_600_000;
/** Exit statuses of pyro-seed (seed/src/main.rs). */
const INVALID = 65;
const EXISTS = 73;

export interface ExportParts {
  readonly files: MachineFiles;
  /** pyro-seed. */
  readonly program: string;
  readonly signal: AbortSignal;
  readonly onStep: (step: { entries: number; bytes: number }) => void;
}

/** What came out. */
export interface Exported {
  readonly kind: "file" | "directory" | "symlink";
  readonly entries: number;
  readonly bytes: number;
  /** Further names of files, which are hard links again. */
  readonly links: number;
  /** Modes that lost their setuid, setgid or sticky bit. */
  readonly lowered: number;
  /** Sockets, fifos and devices that were left out, and the first of them. */
  readonly skipped: number;
  readonly firstSkipped: readonly string[];
}

/** What is to be made on the host. */
export interface ExportOrder {
  /** Of the workspace. */
  readonly paths: readonly Uint8Array[];
  /** Absolute path. */
  readonly target: string;
  /** Whether something may be there. */
  readonly overwrite: boolean;
  /** The caller's umask(2), for directories that are in no export. */
  readonly umask: number;
}

/**
 * Makes the target of what is at these paths: of one itself, of several a directory with each under its own name.
 * A target that is there is only replaced with `overwrite`, and by one rename. Directories that lead there are made, and stay if it is.
 * @throws PyroError already_exists, not_found, guest_failed for what a guest's agent must not give, resource_exhausted
 */
export async function exportTo(
  { paths, target, overwrite, umask }: ExportOrder,
  { place, ...parts }: ExportParts & { readonly place: CopyPlace },
): Promise<Exported> {
  if (!isAbsolute(target) || target.includes("\0") || basename(target) === "") {
    throw new PyroError("invalid_argument", `${JSON.stringify(target)} is no path that can be made`);
  }
  const wanted = named(paths);
  const [only] = wanted;
  if (!overwrite) await refuseExisting(target);
  const directory = normalize(dirname(target));
  const made = await makeDirectories(directory, umask);
  const fresh = `.pyro-export-${randomBytes(8).toString("hex")}`;
  // Bytes that are no UTF-8 have no way into a command line; what is written that way was refused before.
  const single = wanted.length === 1 && only !== undefined ? [`+${only.name.toString()}`] : [];
  const words = ["unpack", target, fresh, ...single, ...(overwrite ? ["--overwrite"] : []), `--umask=${octal(umask)}`];
  try {
    await place.remember(directory, fresh);
    const counts = await receive(words, wanted, parts, { stdout: "ignore", output: undefined });
    await place.forget(fresh);
    return { ...counts, kind: await kindOf(target) };
  } catch (failure) {
    // It removes that itself, unless it was killed.
    await place.discard(directory, fresh);
    await removeDirectories(made);
    throw failure;
  }
}

const octal = (mode: number): string => mode.toString(8).padStart(3, "0");

/**
 * Writes a tar archive of what is at these paths to `output`, no faster than it is taken.
 * @throws PyroError as exportTo; what was written by then is no whole archive
 */
export async function exportArchive(
  paths: readonly Uint8Array[],
  output: (data: Uint8Array) => Promise<void> | void,
  parts: ExportParts,
): Promise<Omit<Exported, "kind">> {
  return await receive(["archive"], named(paths), parts, { stdout: "pipe", output });
}

interface Named {
  readonly path: Uint8Array;
  readonly name: Buffer;
}

function named(paths: readonly Uint8Array[]): readonly Named[] {
  const all = paths.map((path) => ({ path, name: nameOf(path) }));
  const twice = all.find(({ name }, index) => all.findIndex((each) => each.name.equals(name)) !== index);
  if (twice === undefined) return all;
  throw new PyroError("invalid_argument", `two of the paths have the name ${JSON.stringify(twice.name.toString())}`, {
    remedy: "export the directory that both are in, or one after the other",
  });
}

async function receive(
  words: readonly string[],
  wanted: readonly Named[],
  { files, program, signal, onStep }: ExportParts,
  { stdout, output }: { stdout: "ignore" | "pipe"; output: ((data: Uint8Array) => Promise<void> | void) | undefined },
): Promise<Omit<Exported, "kind">> {
  const child = startProgram(program, words, { env: { LC_ALL: "C" }, cwd: "/", stdio: ["pipe", stdout, "pipe"] });
  const { stdin } = child;
  if (stdin === null) throw new PyroError("internal", "pyro-seed was started without a pipe");
  const said = new Said(onStep);
  const listening = said.listen(child.stderr as Readable);
  const end = ended(child, program, { deadlineMs: EXPORT_DEADLINE_MS });
  // Whichever side fails first is awaited below.
  end.catch(() => undefined);
  stdin.on("error", () => undefined);
  const passing = output === undefined ? Promise.resolve() : pass(child.stdout as Readable, output);
  passing.catch(() => child.kill("SIGKILL"));
  let failure: unknown;
  let last: Uint8Array | undefined;
  // The last bytes are given when the guest has said that they are: a call that fails leaves the stream without its end.
  const take = async (data: Uint8Array): Promise<void> => {
    const before = last;
    last = data;
    if (before !== undefined) await write(stdin, before);
  };
  const pulling = async (): Promise<Awaited<ReturnType<MachineFiles["pull"]>>> => {
    const result = await files.pull(wanted, take, signal);
    if (last !== undefined) await write(stdin, last);
    return result;
  };
  const pulled = await pulling().catch((reason: unknown) => {
    failure = reason;
    return undefined;
  });
  // An end without the stream's own end is none: what was made so far is removed.
  stdin.end();
  const { code } = await end;
  await listening;
  const refused = code === 0 ? undefined : said.failure(code);
  await passing;
  // One that ends early breaks its pipe; why it did says more than that.
  if (refused !== undefined && (failure === undefined || failure instanceof BrokenPipe)) throw refused;
  if (failure !== undefined) throw PyroError.from(failure);
  if (pulled === undefined || said.counts === undefined) throw new PyroError("internal", "nothing was received");
  return { ...said.counts, ...pulled };
}

/** The reader of the stream has ended. */
class BrokenPipe extends Error {}

async function write(stdin: Writable, data: Uint8Array): Promise<void> {
  if (stdin.destroyed || !stdin.writable) throw new BrokenPipe();
  if (stdin.write(data)) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      stdin.off("drain", done).off("close", done);
      resolve();
    };
    stdin.on("drain", done).on("close", done);
  });
}

async function pass(stdout: Readable, output: (data: Uint8Array) => Promise<void> | void): Promise<void> {
  for await (const piece of stdout) await output(piece as Uint8Array);
}

async function refuseExisting(target: string): Promise<void> {
  try {
    await lstat(target);
  } catch (failure) {
    if (isErrno(failure, "ENOENT")) return;
    throw new PyroError("permission_denied", `${target} cannot be looked at`, { cause: failure });
  }
  throw existing(target);
}

const existing = (target: string): PyroError =>
  new PyroError("already_exists", `${target} is there already`, { remedy: "name another one, or add --overwrite" });

const twins = (path: string, there: string): PyroError =>
  new PyroError("already_exists", `${there} and ${path} have one name on the target's file system`, {
    remedy: "name a target on a file system that tells them apart, or export an archive: --tar",
  });

/** Makes a directory with those that lead to it, as mkdir(1) does with -p; those that were not there. On failure they are not. */
async function makeDirectories(path: string, umask: number): Promise<string[]> {
  const missing: string[] = [];
  for (let at = path; !(await isThere(at)); at = dirname(at)) missing.unshift(at);
  const made: string[] = [];
  try {
    for (const each of missing) {
      await mkdir(each);
      made.push(each);
      // The server's own umask is another one than the caller's.
      await chmod(each, 0o777 & ~umask);
    }
    return made;
  } catch (cause) {
    await removeDirectories(made);
    const isFull = isErrno(cause, "ENOSPC") || isErrno(cause, "EDQUOT");
    const code = isFull ? "resource_exhausted" : "permission_denied";
    throw new PyroError(code, `the directory ${path} cannot be made`, { cause, ...(isFull ? FULL : {}) });
  }
}

/** What somebody has put something into meanwhile stays. */
async function removeDirectories(paths: readonly string[]): Promise<void> {
  for (const path of paths.toReversed()) await rmdir(path).catch(() => undefined);
}

async function isThere(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    (failure: unknown) => !isErrno(failure, "ENOENT") && !isErrno(failure, "ENOTDIR"),
  );
}

const FULL = { remedy: "free some space there, or name a target on another disk" };

async function kindOf(target: string): Promise<Exported["kind"]> {
  const made = await lstat(target);
  if (made.isSymbolicLink()) return "symlink";
  return made.isDirectory() ? "directory" : "file";
}

/** What pyro-seed says on standard error: lines of fields with tabs between them (seed/src/report.rs). */
class Said {
  readonly #onStep: ExportParts["onStep"];
  #made = { links: 0, lowered: 0 };
  #last: readonly string[] = [];
  counts: { entries: number; bytes: number; links: number; lowered: number } | undefined;

  constructor(onStep: ExportParts["onStep"]) {
    this.#onStep = onStep;
  }

  async listen(stream: Readable): Promise<void> {
    for await (const line of createInterface({ input: stream })) this.#take(line.split("\t"));
  }

  #take(fields: readonly string[]): void {
    const [tag, first, second] = fields;
    if (tag === "progress") this.#onStep({ entries: Number(first), bytes: Number(second) });
    else if (tag === "made") this.#made = { links: Number(first), lowered: Number(second) };
    else if (tag === "total") this.counts = { entries: Number(first), bytes: Number(second), ...this.#made };
    else this.#last = fields;
  }

  failure(code: number | null): PyroError {
    const [tag = "", first = "", second = ""] = this.#last;
    if (tag === "twins") return twins(first, second);
    if (code === EXISTS) return existing(first);
    if (code === INVALID) return new PyroError("guest_failed", `what the guest gave is not taken: ${first}`);
    if (tag !== "failed" && tag !== "output") {
      return new PyroError("internal", "the reader of the guest's files failed", {
        evidence: { exit: code ?? "signal" },
      });
    }
    const isFull = first.includes("No space left") || first.includes("quota");
    const what = second === "" ? first : `${second}: ${first}`;
    return new PyroError(isFull ? "resource_exhausted" : "permission_denied", `the files cannot be written: ${what}`, {
      ...(isFull ? FULL : {}),
    });
  }
}

/** What a person should know of what came out. */
export function exportWarnings({ links, lowered, skipped, firstSkipped }: Omit<Exported, "kind">): string[] {
  return [
    ...(skipped === 0 ? [] : [`left out ${skipped} sockets, fifos and devices: ${firstSkipped.join(", ")}`]),
    ...(lowered === 0 ? [] : [`${lowered} modes lost their setuid, setgid or sticky bit`]),
    ...(links === 0 ? [] : [`${links} names are hard links to other names of the export`]),
  ];
}

/** Where an export begins, for people. */
export const shownPaths = (paths: readonly Uint8Array[]): string => paths.map(shownPath).join(", ");
