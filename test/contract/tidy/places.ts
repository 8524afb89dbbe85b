/** No file knows the machine it was written on, or the registry that machine downloads from. */
import { homedir, hostname } from "node:os";
import { matchingLines, type Rule } from "./tree.ts";

/** Registries whose names are part of the world, not of a machine. */
const PUBLIC_REGISTRY = /^https?:\/\/(registry\.npmjs\.org|index\.crates\.io|github\.com|static\.crates\.io)\b/;

/** What gives a machine away whatever machine it is. */
const ALWAYS: readonly { pattern: RegExp; message: string }[] = [
  {
    pattern: /"resolved":\s*"https?:/,
    message: "the lock names a registry's host: npm install with this .npmrc writes none",
  },
  { pattern: /^\s*(@[\w-]+:)?registry\s*=/, message: "the registry is the machine's business" },
  { pattern: /\b(replace-with|index-url|extra-index-url)\s*=/, message: "the registry is the machine's business" },
  { pattern: /(^|[\s"'`(=:])\/home\/(?!(you|user|dev|agent|pyro)\b)[a-z]/, message: "somebody's home directory" },
  { pattern: /(^|[\s"'`(=:])\/work\/(main|shared)\b/, message: "a path of the machine it was written on" },
];

export const places: Rule = {
  name: "places",
  covers: (path) => !path.startsWith("test/contract/tidy/"),
  leastFiles: 60,
  check: (file) =>
    [...ALWAYS, ...ofThisMachine()].flatMap(({ pattern, message }) => matchingLines(file, pattern, message)),
};

/** What gives away the very machine that runs the test. */
function ofThisMachine(): { pattern: RegExp; message: string }[] {
  const registry = process.env["npm_config_registry"] ?? "";
  const host = registry === "" || PUBLIC_REGISTRY.test(registry) ? undefined : new URL(registry).host;
  // `/root` is every guest's home, `/` nobody's.
  const home = ["/root", "/"].includes(homedir()) ? undefined : homedir();
  const name = ["localhost", "pyro", "debian", "ubuntu"].includes(hostname()) ? undefined : hostname();
  const checkout = process.cwd().split("/").length > 2 ? process.cwd() : undefined;
  return [host, home, name, checkout]
    .filter((text) => text !== undefined && text.length > 3)
    .map((text) => ({
      pattern: new RegExp(`(?<![\\w-])${escaped(text ?? "")}(?![\\w-])`),
      message: "names the machine that runs this test",
    }));
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`);
