/** The files that the guards look at. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A text file of the project. */
export interface SourceFile {
  /** Relative to the checkout, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

/** Something that a guard does not allow. */
export interface Violation {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

/** A rule of the house: what is wrong in one file, given nothing else. */
export interface Rule {
  /** Also the folder in test/contract/known-bad that shows what it must catch. */
  readonly name: string;
  /** Whether the rule says anything about the file at this path. */
  readonly covers: (path: string) => boolean;
  readonly check: (file: SourceFile) => readonly Violation[];
  /** The rule is blind when it sees fewer files than this, and a blind rule is worse than none. */
  readonly leastFiles: number;
}

/** Not written here by anybody: installed, built, cached, or deliberately wrong. */
const OUTSIDE = ["node_modules", "dist", ".build", "target", ".cache", ".git", "bench-results"];
const KNOWN_BAD = "test/contract/known-bad";
const BINARY = /\.(png|gif|ico|gz|tgz|img|bin)$/;

/** Every text file of the checkout. Tests run with the checkout as their working directory. */
export function projectFiles(): SourceFile[] {
  return walk("").map((path) => ({ path, text: readFileSync(path, "utf8") }));
}

function walk(folder: string): string[] {
  return readdirSync(folder === "" ? "." : folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (OUTSIDE.includes(entry.name) || path === KNOWN_BAD) return [];
    if (entry.isDirectory()) return walk(path);
    return entry.isFile() && !BINARY.test(path) ? [path] : [];
  });
}

/** The examples of what `rule` must catch: known-bad/<rule>/<path>.txt stands for a file at <path>. */
export function knownBad(rule: string): SourceFile[] {
  const root = join(KNOWN_BAD, rule);
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path: path.slice(root.length + 1).replace(/\.txt$/, ""), text: readFileSync(path, "utf8") }));
}

/** One violation for each line that `pattern` matches. `text` may be the file's text with comments blanked out. */
export function matchingLines(file: SourceFile, pattern: RegExp, message: string, text = file.text): Violation[] {
  return text
    .split("\n")
    .flatMap((line, index) => (pattern.test(line) ? [{ path: file.path, line: index + 1, message }] : []));
}

/** The text with comments blanked out, lines kept. A `//` inside a string ends it too: good enough for these rules. */
export function withoutComments(text: string): string {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, " "))
    .replaceAll(/(^|\s)\/\/.*$/gm, "$1");
}
