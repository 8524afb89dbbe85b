import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PyroError } from "../../../src/contract/error.ts";
import { lineOf, parseCustomEnvironments } from "../../../src/environment/custom.ts";

const FILE = "/home/you/.config/pyro/environments.toml";

const mistakeIn = (text: string): string => {
  try {
    parseCustomEnvironments(text, FILE);
  } catch (failure) {
    assert.ok(PyroError.is(failure) && failure.code === "invalid_argument", String(failure));
    return failure.message;
  }
  throw new assert.AssertionError({ message: `no mistake was found in:\n${text}` });
};

test("custom environments: what is not said has a default", () => {
  const text = `
[environments."web:1"]
description = "Node.js and a browser's libraries"
packages = ["nodejs", "npm"]
mem_mib = 2048

[environments.plain]
`;
  const [web, plain] = parseCustomEnvironments(text, FILE);
  assert.equal(web?.name, "web:1");
  assert.deepEqual(web.packages, ["nodejs", "npm"]);
  assert.deepEqual(web.defaults, { vcpu_count: 1, mem_mib: 2048 });
  assert.equal(web.origin, "user");
  assert.deepEqual([plain?.suite, plain?.version, plain?.packages], ["bookworm", "1.0.0", []]);
});

test("custom environments: a mistake is named with file, line and key", () => {
  const cases: [text: string, line: number, what: RegExp][] = [
    [`[environments.a]\npackages = ["git"`, 2, /TOML/],
    [`\n[environments.a]\npackages = ["git", "no such"]\n`, 3, /environments\.a\.packages\.1: is not the name/],
    [`[environments.a]\ndescription = "x"\n\n[environments."b:1"]\nmem_mib = 64\n`, 5, /environments\.b:1\.mem_mib/],
    [`[environments.a]\npackage = ["git"]\n`, 2, /environments\.a\.package: there is no such key/],
    [`[environments.a]\nsuite = "sid"\n`, 2, /environments\.a\.suite/],
    [`[environments."Bad Name"]\n`, 1, /Bad Name: is not a name for an environment/],
    [`[environments."a_b"]\n`, 1, /a_b/],
    [`[environments."../../etc"]\n`, 1, /etc/],
    [`[environments."debian:12"]\n`, 1, /taken by a built-in/],
    [`[environment.a]\n`, 1, /environment/],
  ];
  for (const [text, line, what] of cases) {
    const message = mistakeIn(text);
    assert.ok(message.startsWith(`${FILE}:${line}: `), `${message} in ${text}`);
    assert.match(message, what);
  }
});

test("custom environments: no word of the file can become an option or a pattern of apt", () => {
  for (const word of [
    "-oDebug::x",
    "?essential",
    "~i",
    "/etc/passwd",
    "./x.deb",
    "git,curl",
    "git curl",
    "git=1",
    "git/sid",
    "",
    "A",
  ]) {
    assert.match(
      mistakeIn(`[environments.a]\npackages = [${JSON.stringify(word)}]\n`),
      /not the name of a Debian package/,
      word,
    );
  }
});

test("custom environments: any text is taken or refused with a typed error", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (text) => {
      try {
        parseCustomEnvironments(`[environments.a]\n${text}`, FILE);
      } catch (failure) {
        assert.ok(PyroError.is(failure), String(failure));
      }
    }),
  );
});

test("custom environments: keys are found behind the tables they are in", () => {
  const text = `# packages\n[environments.a]\npackages = []\n[environments."b.c"]\npackages = []\n`;
  assert.equal(lineOf(text, ["environments", "a", "packages"]), 3);
  assert.equal(lineOf(text, ["environments", "b.c", "packages"]), 5);
  assert.equal(lineOf(text, ["nowhere"]), undefined);
});
