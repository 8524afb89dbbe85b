/** Calls and words that are not used here, each with what to do instead. */
import { matchingLines, type Rule, type Violation, withoutComments } from "./tree.ts";

const isCode = (path: string): boolean =>
  /\.(ts|mjs|rs)$/.test(path) && !path.startsWith("src/guest/generated/") && !path.startsWith("test/contract/tidy/");

/** Time is waited for only where nothing tells that the awaited thing happened. Path to reason. */
const SLEEP_ALLOWED: Readonly<Record<string, string>> = {
  "src/host/process-group.ts": "the kernel tells nobody when a process group has become empty",
  "src/sdk/server-control.ts": "a server is no child of its client, so nothing tells the client that it ended",
  "src/vmm/firecracker/api.ts":
    "between bind(2), which is seen, and listen(2) lie microseconds, and nothing tells of the latter",
  "src/vmm/firecracker/vsock.ts":
    "a guest refuses a port at once, and nothing tells the host when somebody listens there",
  "bench/shipped.ts": "that a machine was made ready is no event a client can hear",
  "bench/inside/main.ts": "what an idle machine uses up is measured over a while",
  "test/agent/seeds.test.ts": "that a file system's clock has ticked is no event",
  "test/support/guest-host.ts": "a VMM is no child of the test, so nothing tells the test that it ended",
  "scripts/suite/leftovers.mjs": "the kernel tells nobody when a process that is not our child ends",
};

/** Files whose allowance must still be needed; checked by tidy.test.ts. */
export const sleepAllowances = Object.keys(SLEEP_ALLOWED);

export const sleeps: Rule = {
  name: "sleeps",
  covers: (path) => isCode(path) && /\.(ts|mjs)$/.test(path) && !(path in SLEEP_ALLOWED),
  leastFiles: 40,
  check: (file) => sleepsIn(file),
};

/** Where a file waits for time to pass. */
export function sleepsIn(file: { path: string; text: string }): Violation[] {
  const message = "waits for time to pass: wait for the event instead, or add the file and the reason to SLEEP_ALLOWED";
  const text = withoutComments(file.text);
  return [
    ...matchingLines(file, /["'](node:)?timers\/promises["']/, message, text),
    ...matchingLines(file, /new Promise\b.*\bsetTimeout\(|\bsetTimeout\((resolve|done|ok)\b/, message, text),
    ...matchingLines(file, /\bAtomics\.wait\(/, message, text),
  ];
}

/** `{ z }` names zod's whole namespace object, which no bundler can shake: 300 KB of translations in every start. */
export const zodImports: Rule = {
  name: "zod-imports",
  covers: (path) => path.startsWith("src/") && path.endsWith(".ts"),
  leastFiles: 40,
  check: (file) =>
    matchingLines(
      file,
      /^import \{[^}]*\bz\b[^}]*\} from "zod"/,
      'write `import * as z from "zod"`, which can be tree-shaken',
    ),
};

/** Unfinished work and switched-off checks. Comments count, so the raw text is searched. */
const UNFINISHED: readonly { pattern: RegExp; message: string; only?: RegExp }[] = [
  { pattern: /\b(TODO|FIXME|XXX|HACK)\b/, message: "unfinished work is an issue, not a comment" },
  { pattern: /@ts-(ignore|nocheck|expect-error)\b/, message: "a type error is mended, not hidden" },
  {
    pattern: /(oxlint|eslint|biome)-(disable|ignore)(?!.* -- \S)/,
    message: "say why with ` -- reason` on the same line",
  },
  { pattern: /\bas any\b|<any>/, message: "`any` switches the checker off: use `unknown` and narrow", only: /\.ts$/ },
  {
    pattern: /\b(test|it|describe|suite)\.(skip|only|todo)\b/,
    message: "a test runs, or skips at run time with t.skip(reason)",
  },
  { pattern: /#\[ignore\]/, message: 'an ignored test says why: #[ignore = "reason"]' },
];

export const unfinished: Rule = {
  name: "unfinished",
  covers: isCode,
  leastFiles: 40,
  check: (file) =>
    UNFINISHED.filter(({ only }) => only === undefined || only.test(file.path)).flatMap(({ pattern, message }) =>
      matchingLines(file, pattern, message),
    ),
};
