/** The TypeScript side of dist/: three entries, each with chunks of its own, so that each call loads only what it needs. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DIST, inProject, packageManifest } from "../project.mjs";
import { contentHash, onChange } from "./fingerprint.mjs";
import { writeNotices } from "./notices.mjs";

/** dist/<name>.js by its source. `bin` must stay tiny: it is all that `pyro --version` loads. */
export const ENTRIES = { bin: "src/bin.ts", index: "src/index.ts", server: "src/server/main.ts" };

/** esbuild puts this in the place of `require` in an ES module; a chunk that has it needs a real one (Node: createRequire). */
const REQUIRE_SHIM = "Dynamic require of ";
const REAL_REQUIRE =
  'import { createRequire as __createRequire } from "node:module";\nconst require = __createRequire(import.meta.url);\n';

/** All that the bundles are made of. */
const SOURCES = ["src", "scripts/build", "package.json", "package-lock.json", "Cargo.lock"];

export async function buildBundles() {
  const outputs = Object.keys(ENTRIES).map((name) => join(DIST, `${name}.js`));
  return await onChange("bundles", { inputs: SOURCES, outputs }, bundle);
}

async function bundle() {
  // Not a static import: this file is read before node_modules exists.
  const { build } = await import("esbuild");
  const define = await constants(build);
  const metafiles = [];
  const written = new Set();
  // One build an entry: chunks shared between them would make each load what only another needs.
  for (const [name, source] of Object.entries(ENTRIES)) {
    const { outputFiles, metafile } = await build({
      absWorkingDir: inProject(),
      entryPoints: { [name]: source },
      outdir: DIST,
      bundle: true,
      splitting: true,
      format: "esm",
      platform: "node",
      target: "node20.20",
      chunkNames: "chunks/[name]-[hash]",
      // Names stay: an error of a user's machine is read by a person.
      minifySyntax: true,
      minifyWhitespace: true,
      legalComments: "none",
      define,
      metafile: true,
      write: false,
    });
    metafiles.push(metafile);
    for (const { path, text } of outputFiles) {
      written.add(path);
      writeBundle(path, text);
    }
  }
  removeStale(written);
  writeNotices({ inputs: Object.assign({}, ...metafiles.map(({ inputs }) => inputs)) });
}

/** What is known when pyro is built: its version, which build of it this is, and its commands, so that the CLI need not load zod. */
async function constants(build) {
  const description = inProject(".cache", "describe-commands.mjs");
  const stdin = { contents: 'export { describeCommands } from "./src/cli/description.ts"', resolveDir: inProject() };
  await build({ stdin, bundle: true, format: "esm", platform: "node", outfile: description });
  const { describeCommands } = await import(`${description}?${Date.now()}`);
  return {
    __PYRO_VERSION__: JSON.stringify(packageManifest().version),
    __PYRO_BUILD__: JSON.stringify(contentHash(SOURCES).slice(0, 12)),
    // A string in a string: esbuild makes an object a chunk of its own, which every start would load.
    PYRO_BUILD_COMMANDS: JSON.stringify(JSON.stringify(describeCommands())),
  };
}

function writeBundle(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text.includes(REQUIRE_SHIM) ? withRequire(text) : text, {
    mode: basename(path) === "bin.js" ? 0o755 : 0o644,
  });
}

/** The import goes below a `#!` line, which must stay the first. */
function withRequire(text) {
  const lines = text.startsWith("#!") ? text.indexOf("\n") + 1 : 0;
  return text.slice(0, lines) + REAL_REQUIRE + text.slice(lines);
}

/** Removes the chunks of earlier builds, which nothing loads any more. */
function removeStale(written) {
  const chunks = join(DIST, "chunks");
  const candidates = existsSync(chunks) ? readdirSync(chunks).map((name) => join(chunks, name)) : [];
  for (const path of candidates.filter((each) => !written.has(each))) rmSync(path);
}
