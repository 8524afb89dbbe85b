/** A program that is started from what V8 made of it before, and from what is not that. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

let folder: string;
let directory: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pyro-unit-"));
  directory = join(folder, "compiled");
  writeProgram("first");
});
afterEach(() => rmSync(folder, { recursive: true }));

const program = (): string => join(folder, "program.cjs");
function writeProgram(answer: string): void {
  const text = `exports.answer = () => require("node:path").basename(__filename) + " ${answer}";`;
  writeFileSync(program(), text);
}

const MODULE = new URL("../../../src/host/compiled-program.js", import.meta.url).href;
/** In a process of its own: V8 does not compile a source that it knows, and then looks at no file. */
const USE = `
const [module, path, directory, build] = process.argv.slice(1);
const { loadProgram } = await import(module);
const { exports, keep } = loadProgram(path, directory || undefined, { use: "test", build });
process.stdout.write(exports.answer());
keep();
`;

/** Loads it, calls it, and keeps what was compiled. */
function use({ build = "build", within = directory } = {}): string {
  const words = ["--input-type=module", "--eval", USE, MODULE, program(), within, build];
  return execFileSync(process.execPath, words, { encoding: "utf8" });
}

function kept(): string {
  const names = readdirSync(directory);
  assert.equal(names.length, 1, names.join(" "));
  return join(directory, names[0] ?? "");
}

test("compiled program: what was kept is used, and not written again", () => {
  assert.equal(use(), "program.cjs first");
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  const before = statSync(kept());
  assert.equal(before.mode & 0o777, 0o600);
  assert.equal(use(), "program.cjs first");
  assert.equal(statSync(kept()).ino, before.ino);
});

test("compiled program: another source, a cut file and garbage are compiled anew and replaced", () => {
  use();
  writeProgram("one that is longer");
  assert.equal(use(), "program.cjs one that is longer");
  const whole = readFileSync(kept());
  for (const damaged of [Buffer.alloc(0), whole.subarray(0, whole.length / 2), Buffer.alloc(whole.length)]) {
    writeFileSync(kept(), damaged);
    assert.equal(use(), "program.cjs one that is longer");
    assert.equal(readFileSync(kept()).length, whole.length);
  }
});

test("compiled program: another build has a file of its own, and the old one goes", () => {
  use({ build: "build" });
  const old = kept();
  use({ build: "other" });
  assert.notEqual(kept(), old);
});

test("compiled program: a file that others may write to is not used", () => {
  use();
  const { ino } = statSync(kept());
  chmodSync(kept(), 0o620);
  assert.equal(use(), "program.cjs first");
  assert.notEqual(statSync(kept()).ino, ino);
});

test("compiled program: where nothing can be kept it runs all the same", () => {
  writeFileSync(directory, "a file");
  assert.equal(use(), "program.cjs first");
  rmSync(directory);
  mkdirSync(directory);
  assert.equal(use({ within: "" }), "program.cjs first");
  assert.deepEqual(readdirSync(directory), []);
});
