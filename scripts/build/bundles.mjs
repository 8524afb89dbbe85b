/**
 * The TypeScript side of dist/: the package's module, in chunks, so that a caller loads only what it needs; and two programs, each one
 * CommonJS file, because only such a file can be started from what V8 made of it before (src/host/compiled-program.ts).
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DIST, inProject, packageManifest } from "../project.mjs";
import { contentHash, onChange } from "./fingerprint.mjs";
import { writeNotices } from "./notices.mjs";

const APART = { mcp: "src/mcp/serve.ts", doctor: "src/doctor/doctor.ts" };
/** What starts a program: dist/<name>.cjs by its source, and the program. `bin` must stay tiny: it is all that `pyro --version` loads. */
const STARTERS = {
  bin: { source: "src/bin.ts", program: "pyro" },
  "server-bin": { source: "src/server-bin.ts", program: "server" },
};
/** dist/<name>.cjs by its source. What few calls need has a file of its own, loaded where it is imported. */
const PROGRAMS = { pyro: "src/program.ts", server: "src/server/main.ts", ...APART };
/** All that dist/ cannot be without. */
export const BUNDLES = ["index.js", ...names(STARTERS), ...names(PROGRAMS)];

/** esbuild puts this in the place of `require` in an ES module; a chunk that has it needs a real one (Node: createRequire). */
const REQUIRE_SHIM = "Dynamic require of ";
/** A CommonJS file has no `import.meta`. */
const MODULE_URL = 'const __moduleUrl=require("node:url").pathToFileURL(__filename).href;';
const REAL_REQUIRE =
  'import { createRequire as __createRequire } from "node:module";\nconst require = __createRequire(import.meta.url);\n';

/** All that the bundles are made of. */
const SOURCES = ["src", "scripts/build", "package.json", "package-lock.json", "Cargo.lock"];

export async function buildBundles() {
  const outputs = BUNDLES.map((name) => join(DIST, name));
  return await onChange("bundles", { inputs: SOURCES, outputs }, bundle);
}

/** @typedef {import("esbuild").BuildOptions & { metafile: true, write: false }} Options */

async function bundle() {
  // Not a static import: this file is read before node_modules exists.
  const { build } = await import("esbuild");
  const define = await constants(build);
  /** @type {Options} */
  const common = {
    absWorkingDir: inProject(),
    outdir: DIST,
    bundle: true,
    platform: "node",
    target: "node20.20",
    // Names stay: an error of a user's machine is read by a person.
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
    metafile: true,
    write: false,
  };
  /** @type {Options} */
  const commonJs = { ...common, format: "cjs", outExtension: { ".js": ".cjs" } };
  const programs = {
    ...commonJs,
    banner: { js: MODULE_URL },
    plugins: [apart],
    // What runs from a compilation (src/host/compiled-program.ts) has `require` and no `import`.
    supported: { "dynamic-import": false },
    define: { ...define, "import.meta.url": "__moduleUrl" },
  };
  /** @type {Options[]} */
  const builds = [
    {
      ...common,
      format: "esm",
      splitting: true,
      chunkNames: "chunks/[name]-[hash]",
      entryPoints: { index: "src/index.ts" },
      define,
    },
    { ...programs, entryPoints: PROGRAMS },
    ...Object.entries(STARTERS).map(([name, { source, program }]) => {
      const PYRO_PROGRAM = JSON.stringify(`${program}.cjs`);
      return { ...commonJs, entryPoints: { [name]: source }, define: { ...define, PYRO_PROGRAM } };
    }),
  ];
  const results = await Promise.all(builds.map(async (options) => await build(options)));
  const written = new Set();
  for (const { path, text } of results.flatMap(({ outputFiles }) => outputFiles)) {
    written.add(path);
    writeBundle(path, text);
  }
  removeStale(written);
  writeNotices({ inputs: Object.assign({}, ...results.map(({ metafile }) => metafile.inputs)) });
}

/** An import of one of these at run time loads its file. */
const apart = {
  name: "apart",
  setup({ onResolve }) {
    onResolve({ filter: /^\./ }, ({ kind, path, resolveDir }) => {
      const source = join(resolveDir, path);
      const [name] = Object.entries(APART).find((each) => inProject(each[1]) === source) ?? [];
      return kind === "dynamic-import" && name !== undefined ? { path: `./${name}.cjs`, external: true } : undefined;
    });
  },
};

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
  const lacksRequire = path.endsWith(".js") && text.includes(REQUIRE_SHIM);
  writeFileSync(path, lacksRequire ? withRequire(text) : text, {
    mode: basename(path) === "bin.cjs" ? 0o755 : 0o644,
  });
}

/** The import goes below a `#!` line, which must stay the first. */
function withRequire(text) {
  const lines = text.startsWith("#!") ? text.indexOf("\n") + 1 : 0;
  return text.slice(0, lines) + REAL_REQUIRE + text.slice(lines);
}

/** Removes bundles of earlier builds, which nothing loads any more. */
function removeStale(written) {
  for (const directory of [DIST, join(DIST, "chunks")]) {
    const there = existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
    for (const path of there.filter((each) => /\.c?js$/.test(each) && !written.has(each))) rmSync(path);
  }
}

function names(entries) {
  return Object.keys(entries).map((name) => `${name}.cjs`);
}
