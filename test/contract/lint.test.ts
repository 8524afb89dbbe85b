/** The linter catches what we rely on it to catch: each rule against a program that breaks it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { knownBad } from "./tidy/tree.ts";

/** In known-bad/lint, `no-floating-promises.ts.txt` must be reported as `no-floating-promises`. */
const examples = knownBad("lint");

describe("lint", () => {
  let report: string;
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "pyro-lint-"));
    copyFileSync(".oxlintrc.json", join(folder, ".oxlintrc.json"));
    copyFileSync("tsconfig.json", join(folder, "tsconfig.json"));
    symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
    for (const { path, text } of examples) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    const args = ["--type-aware", "--format=unix", "src"];
    report = spawnSync(resolve("node_modules/.bin/oxlint"), args, { cwd: folder, encoding: "utf8" }).stdout;
  });
  after(() => rmSync(folder, { recursive: true }));

  it("has an example for every rule that the configuration names", () => {
    assert.ok(examples.length >= 12, `${examples.length} examples`);
  });

  for (const { path } of examples) {
    const rule = path.replace(/^src\/(.*?)(\.\d+)?\.ts$/, "$1");
    it(`reports ${path} as ${rule}`, () => {
      const lines = report.split("\n").filter((line) => line.includes(`${path}:`) && line.includes(rule));
      assert.notDeepEqual(lines, [], report);
    });
  }
});
