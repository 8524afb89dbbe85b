/**
 * The stages of the suite, in the order in which they run: what fails fastest comes first.
 *
 * A stage is a program that must exit with 0, or the test files of the folder in test/ that has its name.
 */
import { tool } from "../project.mjs";

const SOURCES = ["src", "test", "scripts", "bench"];

/** Programs: each counts as one check in the summary. `fast`: part of `npm run check`. */
const checks = [
  { name: "format", fast: true, command: [tool("oxfmt"), "--check", ...SOURCES] },
  { name: "lint", fast: true, command: [tool("oxlint"), "--type-aware", "--deny-warnings", ...SOURCES] },
  // Also compiles what the test stages run.
  { name: "types", fast: true, command: [tool("tsc"), "--project", "tsconfig.json"] },
  { name: "scripts-types", fast: true, command: [tool("tsc"), "--project", "scripts/tsconfig.json"] },
  { name: "unused", fast: true, command: [tool("knip"), "--no-progress", "--treat-config-hints-as-errors"] },
  // What only tests use is not shipped, unless by mistake.
  {
    name: "unused-shipped",
    fast: true,
    command: [tool("knip"), "--no-progress", "--production", "--include", "files,dependencies"],
  },
  { name: "rust-format", fast: true, rust: true, command: ["cargo", "fmt", "--all", "--check"] },
  {
    name: "rust-lint",
    rust: true,
    command: ["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "--deny", "warnings"],
  },
];

/**
 * Tests: `concurrency` files at once, each ended after `timeoutSeconds`; `oneProcess`: all files in one process, which is
 * ended then. `needs` is what must be there before.
 */
const tests = [
  { name: "contract", fast: true, needs: [], concurrency: 2, timeoutSeconds: 60 },
  { name: "unit", fast: true, needs: [], concurrency: 2, timeoutSeconds: 60 },
  { name: "rust", rust: true, needs: [], cargo: true },
  { name: "agent", needs: ["dist", "test-agent"], concurrency: 2, timeoutSeconds: 120 },
  { name: "pack", needs: ["dist"], concurrency: 1, timeoutSeconds: 300 },
  // One at a time: two guests under emulation on two cores make every deadline a gamble.
  { name: "guest", needs: ["dist", "guests"], concurrency: 1, timeoutSeconds: 900 },
  // One process: the machine that these tests share takes ten seconds to boot and half of this host.
  { name: "nested", needs: ["dist", "guests"], concurrency: 1, timeoutSeconds: 3600, oneProcess: true },
];

export const STAGES = [...checks, ...tests];

/** The stages and files that the words after `npm test --` ask for; all stages when there are none. */
export function select(words, testFiles) {
  if (words.length === 0) return { stages: STAGES, only: undefined };
  const files = words
    .filter((word) => !STAGES.some(({ name }) => name === word))
    .flatMap((word) => matching(word, testFiles));
  const names = new Set([...words, ...files.map((path) => path.split("/")[1]), ...(files.length > 0 ? ["types"] : [])]);
  const withTests = STAGES.some((stage) => names.has(stage.name) && stage.concurrency !== undefined);
  if (withTests) names.add("types");
  return {
    stages: STAGES.filter(({ name }) => names.has(name)),
    only: files.length === 0 ? undefined : new Set(files),
  };
}

function matching(word, testFiles) {
  const found = testFiles.filter((path) => path.includes(word.replace(/^\.\//, "")));
  if (found.length === 0)
    throw new RangeError(
      `no stage and no test file is called ${word}; stages: ${STAGES.map(({ name }) => name).join(" ")}`,
    );
  return found;
}
