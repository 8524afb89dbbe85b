import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { PyroError } from "../../../src/contract/error.ts";
import { CATALOG } from "../../../src/environment/catalog.ts";
import { installDirectoryName, recipeDigest } from "../../../src/environment/definition.ts";
import { editDistance, findEnvironment, knownEnvironments, nearestName } from "../../../src/environment/names.ts";
import { pathsBelow, scratchDirectory } from "./scratch.ts";

const scratch = await scratchDirectory();
const paths = pathsBelow(scratch);

test("names: an unknown environment names the known ones, and the likeliest", async () => {
  await assert.rejects(findEnvironment("debain:12", paths), (failure: unknown) => {
    assert.ok(PyroError.is(failure));
    assert.equal(failure.code, "not_found");
    for (const { name } of CATALOG) assert.ok(failure.message.includes(name));
    assert.equal(failure.remedy, "did you mean debian:12?");
    return true;
  });
  await assert.rejects(findEnvironment("windows:11", paths), { code: "not_found", remedy: "pyro env list" });
});

test("names: what is given is quoted and cut, so that it cannot pass for our own text", async () => {
  await assert.rejects(
    findEnvironment("x\u001b[2J\n[error] all is lost".padEnd(5000, "x"), paths),
    (failure: unknown) => {
      assert.ok(PyroError.is(failure));
      assert.ok(!failure.message.includes("\n") && !failure.message.includes("\u001b"));
      assert.ok(failure.message.length < 400);
      return true;
    },
  );
});

test("names: a mistake in the user's own file does not keep the built-in environments from working", async () => {
  await mkdir(paths.config, { recursive: true });
  await writeFile(join(paths.config, "environments.toml"), "[environments.");
  assert.equal((await findEnvironment("debian:12", paths)).name, "debian:12");
  await assert.rejects(knownEnvironments(paths), { code: "invalid_argument" });
});

test("names: each environment of the catalog has a directory of its own", () => {
  const directories = CATALOG.map(installDirectoryName);
  assert.equal(new Set(directories).size, CATALOG.length);
  assert.ok(directories.includes("debian_12-1.0.0"));
});

test("names: the recipe's digest ignores the order of packages and nothing else", () => {
  const [definition] = CATALOG;
  assert.ok(definition !== undefined);
  const digest = recipeDigest(definition);
  assert.equal(recipeDigest({ ...definition, packages: definition.packages.toReversed() }), digest);
  assert.notEqual(recipeDigest({ ...definition, packages: [...definition.packages, "jq"] }), digest);
  assert.notEqual(recipeDigest({ ...definition, suite: "trixie" }), digest);
});

test("names: the edit distance is a metric", () => {
  const word = fc.string({ maxLength: 12 });
  fc.assert(
    fc.property(word, word, word, (a, b, c) => {
      assert.equal(editDistance(a, a), 0);
      assert.equal(editDistance(a, b), editDistance(b, a));
      assert.ok(editDistance(a, c) <= editDistance(a, b) + editDistance(b, c));
    }),
  );
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(nearestName("debian:12-agnt", ["debian:12", "debian:12-agent"]), "debian:12-agent");
});
