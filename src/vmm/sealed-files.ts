/**
 * Files of a template in sealed memory (memfd_create(2), F_SEAL_WRITE): a VMM that opens a template's memory for writing, as
 * QEMU does, or that reopens a descriptor it was given, still cannot alter what other machines start from. Node can
 * neither make nor receive such a descriptor, so pyro-launch makes it, and this process opens it by the launcher's /proc entry.
 */
import { once } from "node:events";
import { close, constants, open as openCallback } from "node:fs";
import { stat } from "node:fs/promises";
import { promisify } from "node:util";
import { PyroError } from "../contract/error.ts";
import { withDeadline } from "../host/deadline.ts";
import { startFailure, startProgram } from "../host/process.ts";
import { Scope } from "../host/scope.ts";

const openDescriptor = promisify(openCallback);
const closeDescriptor = promisify(close);

/** Copying takes 0.4 ms per MB (measured); the rest is for a host that swaps. */
const SEAL_DEADLINE_MS = 60_000;
/** Templates held though no machine runs from them: each is as large as the guest memory that was in use. */
const IDLE_MAX = 2;
/** How long such a one is held: the next call of an agent comes within seconds. */
const IDLE_MS = 60_000;

/** Sealed copies; what is opened stays valid after `release`. */
export interface SealedFiles {
  /** A descriptor of the copy of the nth file, for reading, with an offset of its own. The caller closes it. */
  open(index: number): Promise<number>;
  /** Says that nothing is started from them any more. Safe to call twice. */
  release(): void;
}

interface Entry {
  /** One for each file. */
  readonly copies: Promise<readonly number[]>;
  users: number;
  idle: NodeJS.Timeout | undefined;
}

/** One per process: the server's drivers come and go with each start. */
const entries = new Map<string, Entry>();

/**
 * Sealed copies of one template's files, made when there are none of these very files; all its machines share them.
 * @throws PyroError artifact_corrupt when a file cannot be read, resource_exhausted without memory for it
 */
export async function sealFiles(launcher: string, paths: readonly string[]): Promise<SealedFiles> {
  const key = await identityOf(paths);
  const entry = entries.get(key) ?? { copies: makeCopies(launcher, paths), users: 0, idle: undefined };
  entries.set(key, entry);
  entry.users += 1;
  clearTimeout(entry.idle);
  let released = false;
  const release = (): void => {
    if (released) return;
    released = true;
    entry.users -= 1;
    if (entry.users === 0) letGoLater(key, entry);
  };
  try {
    const copies = await entry.copies;
    return {
      open: async (index) => await openDescriptor(`/proc/self/fd/${copies[index]}`, constants.O_RDONLY),
      release,
    };
  } catch (failure) {
    if (entries.get(key) === entry) entries.delete(key);
    throw failure;
  }
}

function letGoLater(key: string, entry: Entry): void {
  entry.idle = setTimeout(() => letGo(key, entry), IDLE_MS).unref();
  const idle = [...entries].filter(([, each]) => each.users === 0);
  // The map is in order of making; the oldest idle one goes.
  for (const [name, each] of idle.slice(0, Math.max(0, idle.length - IDLE_MAX))) letGo(name, each);
}

function letGo(key: string, entry: Entry): void {
  clearTimeout(entry.idle);
  entries.delete(key);
  // A copy that failed has nothing to close.
  void entry.copies
    .then(async (copies) => await Promise.all(copies.map(async (copy) => await closeDescriptor(copy))))
    .catch(() => undefined);
}

/** Names the files' content as far as it can be seen without reading it. */
async function identityOf(paths: readonly string[]): Promise<string> {
  const files = await Promise.all(paths.map(async (path) => await stat(path))).catch((cause: unknown) => {
    throw new PyroError("artifact_corrupt", "the template cannot be read", { cause });
  });
  return files.map(({ dev, ino, size, mtimeMs }) => `${dev}:${ino}:${size}:${mtimeMs}`).join(" ");
}

async function makeCopies(launcher: string, paths: readonly string[]): Promise<readonly number[]> {
  await using scope = new Scope();
  const args = paths.flatMap((path) => ["--seal", path]);
  const child = startProgram(launcher, args, { stdio: ["pipe", "pipe", "pipe"], env: {} });
  const { stdin, stdout, stderr, pid } = child;
  // It ends with its standard input.
  scope.defer(() => void stdin?.destroy());
  let [said, complained] = ["", ""];
  stdout?.on("data", (data: Buffer) => (said += data.toString()));
  stderr?.on("data", (data: Buffer) => (complained += data.toString()));
  stdin?.on("error", () => undefined);
  const answered = new Promise<void>((resolve, reject) => {
    child.once("error", (cause) => reject(startFailure(launcher, cause)));
    stdout?.on("data", () => said.includes("\n") && resolve());
    child.once("close", () => reject(notSealed(complained)));
  });
  const late = (): PyroError => new PyroError("deadline_exceeded", `sealing took longer than ${SEAL_DEADLINE_MS} ms`);
  try {
    await withDeadline(answered, SEAL_DEADLINE_MS, late);
  } catch (failure) {
    child.kill("SIGKILL");
    throw failure;
  }
  const numbers = said.trim().split(" ").map(Number);
  if (
    pid === undefined ||
    numbers.length !== paths.length ||
    !numbers.every((number) => Number.isSafeInteger(number))
  ) {
    throw notSealed(`it said ${JSON.stringify(said.slice(0, 100))}`);
  }
  const copies = await Promise.all(
    numbers.map(async (number) => await openDescriptor(`/proc/${pid}/fd/${number}`, constants.O_RDONLY)),
  );
  scope.defer(async () => {
    stdin?.destroy();
    if (child.exitCode === null && child.signalCode === null) await once(child, "close");
  });
  return copies;
}

function notSealed(why: string): PyroError {
  const cause = why.trim().replace(/^pyro-launch: /, "");
  const isFull = /No space left|Cannot allocate/.test(cause);
  return new PyroError(isFull ? "resource_exhausted" : "artifact_corrupt", "the template cannot be sealed in memory", {
    cause,
    ...(isFull ? { remedy: "end other machines, or free memory on this host" } : {}),
  });
}
