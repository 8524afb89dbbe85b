/** Which test files there are, and which of them a stage runs: those in the folder of its name. */
import { readdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { COMPILED, inProject, ROOT } from "../project.mjs";

/** Every test file of the project, as a path relative to the checkout. */
export function allTestFiles() {
  return readdirSync(inProject("test"), { recursive: true })
    .map((name) => join("test", name))
    .filter((path) => path.endsWith(".test.ts") && statSync(inProject(path)).isFile())
    .toSorted();
}

export const testFilesOf = (stage) => allTestFiles().filter((path) => path.startsWith(`test/${stage}/`));

/** What tsc makes of a test file. */
export const compiledPath = (path) => join(COMPILED, path.replace(/\.ts$/, ".js"));

/** The test file that a path in an event of node:test stands for: compiled, or the source when source maps are used. */
export const sourceOf = (path) =>
  relative(ROOT, path)
    .replace(/^\.build\//, "")
    .replace(/\.js$/, ".ts");
