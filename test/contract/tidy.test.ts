/** The rules of the house, applied to the whole tree, and each applied to what it must catch. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { sleepAllowances, sleeps, sleepsIn, unfinished, zodImports } from "./tidy/banned.ts";
import { changelog, consoleBlocks, decisions, links, specification } from "./tidy/documents.ts";
import { layers } from "./tidy/layers.ts";
import { places } from "./tidy/places.ts";
import { exportShape, fileNames, fileSize } from "./tidy/shape.ts";
import { knownBad, projectFiles, type Rule } from "./tidy/tree.ts";
import { volumeReaders } from "./tidy/volumes.ts";

const RULES: readonly Rule[] = [
  ...[layers, fileSize, fileNames, exportShape, sleeps, unfinished, zodImports, places, volumeReaders],
  ...[changelog, decisions, links, specification, consoleBlocks],
];

const files = projectFiles();

for (const rule of RULES) {
  describe(`tidy: ${rule.name}`, () => {
    it(`${rule.name}: holds in the whole tree`, () => {
      const violations = files.filter(({ path }) => rule.covers(path)).flatMap((file) => rule.check(file));
      // A string, so that the summary of a run shows what is wrong and not that two arrays differ.
      assert.ok(
        violations.length === 0,
        violations.map(({ path, line, message }) => `${path}:${line}: ${message}`).join("\n"),
      );
    });

    it(`${rule.name}: sees the files that it is about`, () => {
      const seen = files.filter(({ path }) => rule.covers(path)).length;
      assert.ok(seen >= rule.leastFiles, `sees ${seen} files, expected at least ${rule.leastFiles}`);
    });

    it(`${rule.name}: catches every known-bad example`, () => {
      const examples = knownBad(rule.name);
      assert.ok(examples.length > 0, "there is no example of what it must catch");
      for (const example of examples) {
        assert.ok(rule.covers(example.path), `does not look at ${example.path}`);
        assert.notDeepEqual(rule.check(example), [], `finds nothing wrong with ${example.path}`);
      }
    });
  });
}

describe("tidy: allowances", () => {
  it("names no file that does not sleep any more", () => {
    const idle = sleepAllowances.filter((path) => sleepsIn({ path, text: readFileSync(path, "utf8") }).length === 0);
    assert.deepEqual(idle, []);
  });
});
