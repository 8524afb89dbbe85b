/**
 * A program of one file with what V8 made of its source the last time: reading that is half the work of compiling it
 * (docs/decisions/0015). Node 20 has no such cache of its own.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { Script } from "node:vm";

/** Bits of a mode that let others write. */
const WRITABLE_BY_OTHERS = 0o022;

export interface CompiledProgram<T> {
  readonly exports: T;
  /** Keeps what is compiled by now for the next process, unless this one began with it. Never fails. */
  readonly keep: () => void;
}

/** What a cached compilation is of: another one has another file. */
export interface CompilationKey {
  /** Which of the program's uses it is for: each compiles what it needs. */
  readonly use: string;
  readonly build: string;
}

/**
 * Runs the CommonJS program at `path`. `directory`: where compilations are kept, one that only this user writes to; undefined:
 * nowhere. Without a compilation, or with one that V8 does not take, the program is compiled like every other.
 */
export function loadProgram<T>(path: string, directory: string | undefined, key: CompilationKey): CompiledProgram<T> {
  const program = basename(path, ".cjs");
  const cachePath = directory && join(directory, `${program}-${key.use}-${key.build}-${process.version}.bin`);
  const cachedData = cachePath === undefined ? undefined : ownFile(cachePath);
  // esbuild writes ASCII only, so this reads it as it is, and without decoding.
  const source = readFileSync(path, "latin1");
  const script = new Script(`(function (exports, require, module, __filename, __dirname) {${source}\n})`, {
    filename: path,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
  const module = { exports: {} };
  const run = script.runInThisContext() as (...values: unknown[]) => void;
  run(module.exports, createRequire(path), module, path, dirname(path));
  const isKept = script.cachedDataRejected === false;
  return {
    exports: module.exports as T,
    keep: () => {
      if (cachePath === undefined || isKept) return;
      try {
        replace(cachePath, script.createCachedData());
        removeOthers(cachePath, `${program}-`, `-${key.build}-${process.version}.bin`);
      } catch {
        // Only the next start takes longer: a full or read-only disk fails the call that needs it.
      }
    },
  };
}

/** The file's bytes if it is this user's alone: they are as good as a program's. */
function ownFile(path: string): Buffer | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch {
    return undefined;
  }
  try {
    const { uid, mode, size } = fstatSync(file);
    // V8 would not say of an empty one that it cannot take it.
    const isOwn = uid === process.geteuid?.() && (mode & WRITABLE_BY_OTHERS) === 0 && size > 0;
    return isOwn ? readFileSync(file) : undefined;
  } finally {
    closeSync(file);
  }
}

/** Whole or not at all, after a power cut too: V8 looks at the length, and believes the rest. */
function replace(path: string, content: Buffer): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}`;
  const file = openSync(temporary, "wx", 0o600);
  try {
    writeSync(file, content);
    fsyncSync(file);
    renameSync(temporary, path);
  } catch (failure) {
    rmSync(temporary, { force: true });
    throw failure;
  } finally {
    closeSync(file);
  }
}

/** Removes this program's compilations of other builds, and what a crash left of them. */
function removeOthers(path: string, begin: string, end: string): void {
  const directory = dirname(path);
  const others = readdirSync(directory).filter((name) => name.startsWith(begin) && !name.endsWith(end));
  for (const name of others) rmSync(join(directory, name), { force: true });
}
