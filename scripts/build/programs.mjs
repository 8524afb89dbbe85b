/** The static programs, built by cargo and copied to dist/ with a manifest that says what they must be. */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { runChecked } from "../command.mjs";
import { DIST, inProject, packageManifest, ROOT, RUST_TARGET } from "../project.mjs";
import { Refusal } from "../terminal.mjs";
import { whyNotStatic } from "./elf.mjs";

/** Where each program goes in dist/, by the name of its cargo binary. */
export const PROGRAMS = {
  "pyro-agent": "guest/pyro-agent",
  "pyro-launch": "host/pyro-launch",
  "pyro-seed": "host/pyro-seed",
};
const MANIFEST = join(DIST, "manifest.json");

/** Cargo decides what is to be compiled; only what changed is copied, so that a running program is never rewritten. */
export async function buildPrograms() {
  await runChecked("cargo", [
    "build",
    "--release",
    "--locked",
    "--workspace",
    "--bins",
    "--quiet",
    ...withoutLocalPaths(),
  ]);
  const files = Object.entries(PROGRAMS).map(([name, path]) => {
    const bytes = readFileSync(inProject("target", RUST_TARGET, "release", name));
    const problem = whyNotStatic(bytes);
    if (problem !== undefined) throw new Refusal(`${name} would not run in a guest: ${problem}`);
    return { path, bytes };
  });
  const manifest = describe(files);
  if (existsSync(MANIFEST) && readFileSync(MANIFEST, "utf8") === manifest && missingOrAltered().length === 0)
    return "up to date";
  for (const { path, bytes } of files) replaceFile(join(DIST, path), bytes, 0o755);
  replaceFile(MANIFEST, manifest, 0o644);
  return "built";
}

/** The agent on a Unix socket of this host (agent/examples/serve_unix.rs), which the tests of the stage `agent` start. */
export async function buildTestAgent() {
  await runChecked("cargo", [
    "build",
    "--release",
    "--locked",
    ...["--package", "pyro-agent", "--example", "serve_unix"],
    "--quiet",
    ...withoutLocalPaths(),
  ]);
}

/**
 * Panic messages name source files. These flags, added to those of .cargo/config.toml, make them the same wherever it was
 * built: no path of the machine is shipped, and two builds can be compared byte by byte.
 */
function withoutLocalPaths() {
  const cargoHome = process.env.CARGO_HOME ?? join(homedir(), ".cargo");
  const flags = [`--remap-path-prefix=${cargoHome}=cargo`, `--remap-path-prefix=${ROOT}=pyro`];
  return ["--config", `target.${RUST_TARGET}.rustflags=${JSON.stringify(flags)}`];
}

/** The programs in dist/ that are not what the manifest says, each as a sentence. */
export function missingOrAltered() {
  if (!existsSync(MANIFEST)) return ["dist/manifest.json is missing"];
  const { version, files } = JSON.parse(readFileSync(MANIFEST, "utf8"));
  const problems = version === packageManifest().version ? [] : [`dist/manifest.json is of version ${version}`];
  for (const path of Object.values(PROGRAMS)) {
    const entry = files.find((file) => file.path === path);
    if (entry === undefined || !existsSync(join(DIST, path))) problems.push(`dist/${path} is missing`);
    else if (sha256(readFileSync(join(DIST, path))) !== entry.sha256)
      problems.push(`dist/${path} is not what the manifest says`);
  }
  return problems;
}

function describe(files) {
  const entries = files.map(({ path, bytes }) => ({ path, bytes: bytes.length, sha256: sha256(bytes) }));
  return `${JSON.stringify({ version: packageManifest().version, target: RUST_TARGET, files: entries }, null, 2)}\n`;
}

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

function replaceFile(path, content, mode) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.tmp`, content, { mode });
  chmodSync(`${path}.tmp`, mode);
  renameSync(`${path}.tmp`, path);
}
