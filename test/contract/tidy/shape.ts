/** How a file is called, how long it is and what it exports. */
import { matchingLines, type Rule, withoutComments } from "./tree.ts";

const LINES_MAX = 400;
const TEST_LINES_MAX = 600;
/** Names that say nothing about what is inside, and so collect everything. */
const SAYS_NOTHING = /^(utils?|helpers?|managers?|commons?|misc|shared|lib)$/;

const isCode = (path: string): boolean => /\.(ts|mjs|rs)$/.test(path) && !path.startsWith("src/guest/generated/");

export const fileSize: Rule = {
  name: "file-size",
  covers: isCode,
  leastFiles: 40,
  check: ({ path, text }) => {
    const lines = withoutComments(text)
      .split("\n")
      .filter((line) => line.trim() !== "").length;
    const limit = path.startsWith("test/") || path.includes("/tests/") ? TEST_LINES_MAX : LINES_MAX;
    return lines <= limit
      ? []
      : [{ path, line: 1, message: `${lines} lines of code, the limit is ${limit}: split it by what it is about` }];
  },
};

export const fileNames: Rule = {
  name: "file-names",
  // lib.rs is cargo's own name for the root of a library.
  covers: (path) => /^(src|test|scripts|agent|launcher|seed)\//.test(path) && !path.endsWith("/src/lib.rs"),
  leastFiles: 40,
  check: ({ path }) => {
    const parts = path.split("/").map((part) => part.replace(/\..*$/, ""));
    const empty = parts.find((part) => SAYS_NOTHING.test(part));
    if (empty !== undefined)
      return [{ path, line: 1, message: `"${empty}" says nothing: name it after what it defines` }];
    const kebab =
      !/\.(ts|mjs)$/.test(path) || parts.every((part) => /^[a-z0-9-]*$/.test(part) || path.includes("/generated/"));
    return kebab ? [] : [{ path, line: 1, message: "file names are kebab-case" }];
  },
};

export const exportShape: Rule = {
  name: "export-shape",
  covers: (path) => /^(src|test|scripts)\/.*\.(ts|mjs)$/.test(path) && path !== "scripts/suite/reporter.mjs",
  leastFiles: 40,
  check: (file) => {
    const text = withoutComments(file.text);
    return [
      ...matchingLines(file, /^\s*export default\b/, "no default exports: a thing has one name everywhere", text),
      ...matchingLines(file, /^\s*export \*/, "no `export *`: src/index.ts lists what is public", text),
    ];
  },
};
