/** The form of the documents that people and tools rely on. */
import { existsSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { matchingLines, type Rule, type SourceFile, type Violation } from "./tree.ts";

const SECTIONS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
const DECISION_HEADINGS = ["## Context", "## Decision", "## Rejected", "## Consequences"];

/** Keep a Changelog 1.1.0: Unreleased on top, then versions with dates, newest first. */
export const changelog: Rule = {
  name: "changelog",
  covers: (path) => path === "CHANGELOG.md",
  leastFiles: 1,
  check: ({ path, text }) => {
    const lines = text.split("\n").map((content, index) => ({ content, line: index + 1 }));
    const versions = lines.filter(({ content }) => content.startsWith("## "));
    const wrong = (line: number, message: string): Violation => ({ path, line, message });
    const dates = versions.map(({ content }) => /\d{4}-\d{2}-\d{2}$/.exec(content)?.[0] ?? "9999");
    return [
      ...(lines[0]?.content === "# Changelog" ? [] : [wrong(1, "begins with `# Changelog`")]),
      ...(versions[0]?.content === "## Unreleased" ? [] : [wrong(1, "the first version is `## Unreleased`")]),
      ...versions
        .slice(1)
        .filter(({ content }) => !/^## \d+\.\d+\.\d+ - \d{4}-\d{2}-\d{2}$/.test(content))
        .map(({ line }) => wrong(line, "a version is `## 1.2.3 - 2026-01-31`")),
      ...versions
        .filter((_, index) => index > 0 && (dates[index] ?? "") > (dates[index - 1] ?? ""))
        .map(({ line }) => wrong(line, "the newest version comes first")),
      ...lines
        .filter(({ content }) => content.startsWith("### ") && !SECTIONS.includes(content.slice(4)))
        .map(({ line }) => wrong(line, `a section is one of ${SECTIONS.join(", ")}`)),
    ];
  },
};

export const decisions: Rule = {
  name: "decisions",
  covers: (path) => path.startsWith("docs/decisions/"),
  leastFiles: 2,
  check: ({ path, text }) => [
    ...(/^docs\/decisions\/\d{4}-[a-z0-9-]+\.md$/.test(path)
      ? []
      : [{ path, line: 1, message: "is called NNNN-title.md" }]),
    ...DECISION_HEADINGS.filter((heading) => !text.split("\n").includes(heading)).map((heading) => ({
      path,
      line: 1,
      message: `has no \`${heading}\``,
    })),
  ],
};

/** Relative links lead somewhere; web addresses are not followed, because a test does not depend on other people's sites. */
export const links: Rule = {
  name: "links",
  covers: (path) => path.endsWith(".md"),
  leastFiles: 6,
  check: (file) =>
    withoutCode(file).flatMap(({ content, line }) =>
      [...content.matchAll(/\]\(([^)\s]+)\)/g)]
        .map((match) => match[1] ?? "")
        .filter((target) => !/^[a-z]+:/.test(target) && !resolves(file, target))
        .map((target) => ({ path: file.path, line, message: `the link to ${target} leads nowhere` })),
    ),
};

/** Every promise names the test that keeps it: the last cell of a row is `test/…` with, after a colon, the test's name. */
export const specification: Rule = {
  name: "specification",
  covers: (path) => path === "SPECIFICATION.md",
  leastFiles: 1,
  check: (file) => {
    const rows = file.text
      .split("\n")
      .map((content, index) => ({ content, line: index + 1 }))
      .filter(({ content }) => /^\|(?!\s*-)/.test(content));
    const promises = rows.filter(({ line }) => !/^\|\s*:?-/.test(file.text.split("\n")[line] ?? ""));
    if (promises.length === 0) return [{ path: file.path, line: 1, message: "promises nothing" }];
    return promises
      .filter(({ content }) => !namesTest(content))
      .map(({ line }) => ({ path: file.path, line, message: "names no existing test as `path: name`" }));
  },
};

function namesTest(row: string): boolean {
  const cell = row.split("|").at(-2) ?? "";
  const named = /`((?:test|agent|launcher|seed)\/[^`:]+): ([^`]+)`/.exec(cell);
  const [, path, name] = named ?? [];
  return path !== undefined && name !== undefined && existsSync(path) && readFileSync(path, "utf8").includes(name);
}

function resolves(file: SourceFile, target: string): boolean {
  const [path = "", anchor] = target.split("#");
  const absolute = path === "" ? file.path : posix.join(posix.dirname(file.path), path);
  if (path !== "" && !existsSync(absolute)) return false;
  if (anchor === undefined || !absolute.endsWith(".md")) return true;
  const text = path === "" ? file.text : readFileSync(absolute, "utf8");
  if (text.includes(`<a id="${anchor}">`)) return true;
  return text.split("\n").some((line) => line.startsWith("#") && slug(line) === anchor);
}

/** The anchor that GitHub gives a heading. */
const slug = (heading: string): string =>
  heading
    .replace(/^#+\s*/, "")
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, "")
    .replaceAll(/\s/g, "-");

/** The lines outside of fenced blocks, without inline code. */
function withoutCode(file: SourceFile): { content: string; line: number }[] {
  let fenced = false;
  return file.text.split("\n").flatMap((content, index) => {
    if (content.startsWith("```")) fenced = !fenced;
    return fenced ? [] : [{ content: content.replaceAll(/`[^`]*`/g, ""), line: index + 1 }];
  });
}

/** A `sh` or `bash` block escapes the test that runs the documents' commands; see docs/console-blocks.ts. */
export const consoleBlocks: Rule = {
  name: "console-blocks",
  covers: (path) => path.endsWith(".md"),
  leastFiles: 6,
  check: (file) =>
    matchingLines(
      file,
      /^\s*```(sh|bash|shell|zsh|shell-session|terminal)\b/,
      "use a `console` block with `$ ` lines: then a test runs it",
    ),
};
