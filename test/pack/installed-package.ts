/** The package as a user gets it: packed, and installed where there is neither the checkout nor a compiler. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** All that an installed pyro may find on this PATH: Node, npm, and what npm itself needs. No cargo, no rustc, no cc. */
const PROGRAMS = ["node", "npm", "sh", "bash", "env", "uname", "cat", "mkdir", "rm", "true", "git", "tar", "gzip"];

export interface InstalledPackage {
  readonly tarball: string;
  /** The package's own directory below the prefix. */
  readonly directory: string;
  /** The environment to run it in: a PATH and a HOME of its own. */
  readonly env: NodeJS.ProcessEnv;
  readonly folder: string;
  remove(): void;
}

/** Packs the checkout and installs the tarball with `npm install --global` below a temporary prefix. */
export function installPackage(): InstalledPackage {
  const folder = mkdtempSync(join(tmpdir(), "pyro-pack-"));
  try {
    return installIn(folder);
  } catch (failure) {
    rmSync(folder, { recursive: true });
    throw failure;
  }
}

function installIn(folder: string): InstalledPackage {
  npm(["pack", "--pack-destination", folder], process.cwd(), process.env);
  const name = readdirSync(folder).find((each) => each.endsWith(".tgz"));
  assert.ok(name, "npm pack wrote no tarball");
  const tarball = join(folder, name);
  const prefix = join(folder, "prefix");
  const programs = join(folder, "programs");
  for (const each of PROGRAMS) linkProgram(each, programs);
  const installEnv = { ...process.env, PATH: programs };
  npm(
    ["install", "--global", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", prefix, tarball],
    folder,
    installEnv,
  );
  const directory = join(prefix, "lib", "node_modules", "pyro-workspaces");
  const home = join(folder, "home");
  mkdirSync(home);
  const env = { ...process.env, PATH: `${join(prefix, "bin")}:${programs}`, HOME: home };
  return { tarball, directory, env, folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

function npm(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): void {
  const result = spawnSync("npm", args, { cwd, env, encoding: "utf8" });
  assert.equal(result.status, 0, `npm ${args.join(" ")}:\n${result.stdout}${result.stderr}`);
}

function linkProgram(name: string, directory: string): void {
  mkdirSync(directory, { recursive: true });
  const found = spawnSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).stdout.trim();
  const path = name === "node" ? process.execPath : found;
  // `true` may be a builtin of the shell, without a path.
  if (path.startsWith("/")) symlinkSync(path, join(directory, name));
  else assert.equal(dirname(path), ".", `${name} is not installed`);
}
