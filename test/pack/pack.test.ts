/** What `npm pack` makes works on a machine without cargo and without the checkout. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { consoleBlocks, runBlock } from "../contract/docs/console-blocks.ts";
import { projectFiles } from "../contract/tidy/tree.ts";
import { type InstalledPackage, installPackage } from "./installed-package.ts";

interface Manifest {
  readonly version: string;
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
}

const COMMAND_TIMEOUT_MS = 60_000;
const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
const documents = projectFiles().filter(({ path }) => path.endsWith(".md"));

describe("the packed package", () => {
  let installed: InstalledPackage;
  before(() => {
    installed = installPackage();
  });
  after(() => installed.remove());

  const run = (file: string, args: readonly string[]) =>
    spawnSync(file, args, { cwd: installed.folder, env: installed.env, encoding: "utf8", timeout: COMMAND_TIMEOUT_MS });

  it("is installed where no cargo is", () => {
    assert.notEqual(run("sh", ["-c", "command -v cargo || command -v rustc || command -v cc"]).status, 0);
  });

  it("tells its version", () => {
    assert.equal(run("pyro", ["--version"]).stdout, `pyro ${version}\n`);
  });

  it("says what the host can do, and why not more", () => {
    const { status, stdout, stderr } = run("pyro", ["doctor", "--json"]);
    assert.ok(status === 0 || status === 1, `exit status ${status}: ${stderr}`);
    assert.equal(typeof JSON.parse(stdout), "object");
  });

  it("contains the static programs, unaltered", () => {
    const manifest = JSON.parse(readFileSync(join(installed.directory, "dist", "manifest.json"), "utf8")) as Manifest;
    assert.equal(manifest.version, version);
    assert.deepEqual(
      manifest.files.map(({ path }) => path),
      ["guest/pyro-agent", "host/pyro-launch", "host/pyro-seed"],
    );
    for (const { path, bytes, sha256 } of manifest.files) {
      const file = join(installed.directory, "dist", path);
      assert.equal(createHash("sha256").update(readFileSync(file)).digest("hex"), sha256, path);
      assert.equal(statSync(file).size, bytes, path);
      assert.notEqual(statSync(file).mode & 0o111, 0, `${path} can be executed`);
    }
  });

  it("contains nothing but dist and the documents, and no path of the checkout", () => {
    const top = readdirSync(installed.directory).filter((name) => name !== "node_modules");
    assert.deepEqual(top.toSorted(), ["CHANGELOG.md", "LICENSE", "README.md", "dist", "package.json"]);
    const dist = readdirSync(join(installed.directory, "dist"), { recursive: true, withFileTypes: true });
    for (const entry of dist.filter((each) => each.isFile())) {
      const text = readFileSync(join(entry.parentPath, entry.name), "latin1");
      assert.ok(!text.includes(process.cwd()), `${entry.name} names the checkout`);
    }
  });

  it("runs no script when it is installed", () => {
    const { scripts } = JSON.parse(readFileSync(join(installed.directory, "package.json"), "utf8")) as {
      scripts: object;
    };
    assert.deepEqual(
      Object.keys(scripts).filter((name) => /^(pre|post)?install$|^prepare$/.test(name)),
      [],
    );
  });

  it("has no fault that publint knows", () => {
    const { status, stdout, stderr } = spawnSync(
      resolve("node_modules/.bin/publint"),
      [installed.directory, "--strict"],
      { encoding: "utf8" },
    );
    assert.equal(status, 0, stdout + stderr);
  });

  it("has types with which the documents' TypeScript compiles", () => {
    const snippets = documents.flatMap(({ text }) =>
      [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code ?? ""),
    );
    assert.notEqual(snippets.length, 0, "no document shows the SDK");
    const { status, stdout } = compile(installed, snippets);
    assert.equal(status, 0, stdout);
  });

  for (const block of documents.flatMap((document) => consoleBlocks(document)).filter(({ mode }) => mode === "host")) {
    it(`runs ${block.path}:${block.line} as shown`, () => {
      runBlock(block, { cwd: installed.folder, env: installed.env, timeoutMs: COMMAND_TIMEOUT_MS });
    });
  }
});

/** Type-checks each snippet as a program of its own that depends on the installed package. */
function compile(installed: InstalledPackage, snippets: readonly string[]) {
  const project = join(installed.folder, "consumer");
  mkdirSync(join(project, "node_modules"), { recursive: true });
  symlinkSync(installed.directory, join(project, "node_modules", "pyro-workspaces"));
  symlinkSync(resolve("node_modules/@types"), join(project, "node_modules", "@types"));
  for (const [index, code] of snippets.entries()) writeFileSync(join(project, `snippet-${index}.ts`), code);
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: "nodenext",
    target: "es2022",
    types: ["node"],
    skipLibCheck: false,
  };
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  return spawnSync(resolve("node_modules/.bin/tsc"), ["--project", project], { encoding: "utf8" });
}
