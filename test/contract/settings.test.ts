/** Every variable that pyro reads has its place: in the server's settings, in the paths, or in the client alone. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { SETTING_NAMES } from "../../src/host/settings.ts";
import { projectFiles } from "./tidy/tree.ts";

/** src/host/paths.ts has these. */
const PLACES = ["PYRO_CACHE_DIR", "PYRO_STATE_DIR", "PYRO_RUNTIME_DIR", "PYRO_CONFIG_DIR"];
/** These change what a client says or installs, and nothing that a server does. */
const OF_THE_CLIENT = ["PYRO_DEBUG", "PYRO_FIRECRACKER_MIRROR", "PYRO_WORKSPACE"];
/** Quoted names that are no variables. */
const NO_VARIABLES = ["PYRO_ERROR"];

const own = SETTING_NAMES.filter((name) => name.startsWith("PYRO_"));

test("a variable that the code reads is a setting, a place, or the client's own", () => {
  const sources = projectFiles().filter(({ path }) => path.startsWith("src/") && path.endsWith(".ts"));
  const read = sources.flatMap(({ text }) => [...text.matchAll(/"(PYRO_[A-Z_]+)"/g)].map(([, name = ""]) => name));
  assert.ok(read.includes("PYRO_MACHINE"), "the search finds what it is for");
  const known = new Set([...own, ...PLACES, ...OF_THE_CLIENT, ...NO_VARIABLES]);
  const unknown = [...new Set(read)].filter((name) => !known.has(name));
  assert.deepEqual(unknown, [], "add them to src/host/settings.ts, or to the client's own");
});

test("every variable of pyro's is in docs/host-requirements.md", () => {
  const document = readFileSync("docs/host-requirements.md", "utf8");
  const missing = [...own, ...PLACES, ...OF_THE_CLIENT].filter((name) => !document.includes(`\`${name}\``));
  assert.deepEqual(missing, []);
});
