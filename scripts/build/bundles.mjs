/** The TypeScript side of dist/: three entries and the chunks they share, so that each call loads only what it needs. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DIST, inProject, packageManifest } from "../project.mjs";
import { filesUnder, onChange } from "./fingerprint.mjs";
import { writeNotices } from "./notices.mjs";

/** dist/<name>.js by its source. `bin` must stay tiny: it is all that `pyro --version` loads. */
export const ENTRIES = { bin: "src/bin.ts", index: "src/index.ts", server: "src/server/main.ts" };

/** esbuild puts this in the place of `require` in an ES module; a chunk that has it needs a real one (Node: createRequire). */
const REQUIRE_SHIM = "Dynamic require of ";
const REAL_REQUIRE =
  'import { createRequire as __createRequire } from "node:module";\nconst require = __createRequire(import.meta.url);\n';

export async function buildBundles() {
  const inputs = [
    ...filesUnder("src"),
    ...filesUnder("scripts/build"),
    "package.json",
    "package-lock.json",
    "Cargo.lock",
  ];
  const outputs = Object.keys(ENTRIES).map((name) => join(DIST, `${name}.js`));
  return await onChange("bundles", { inputs, outputs }, bundle);
}

async function bundle() {
  // Not a static import: this file is read before node_modules exists.
  const { build } = await import("esbuild");
  const { version } = packageManifest();
  const { outputFiles, metafile } = await build({
    absWorkingDir: inProject(),
    entryPoints: ENTRIES,
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
    define: { __PYRO_VERSION__: JSON.stringify(version) },
    metafile: true,
    write: false,
  });
  const written = new Set(outputFiles.map(({ path }) => path));
  for (const { path, text } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text.includes(REQUIRE_SHIM) ? withRequire(text) : text, {
      mode: basename(path) === "bin.js" ? 0o755 : 0o644,
    });
  }
  removeStale(written);
  writeNotices(metafile);
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
