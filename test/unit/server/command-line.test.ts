import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { argvOf, displayed, environmentOf } from "../../../src/server/command-line.ts";

test("a list is a program, a string a script that no profile is read for", () => {
  assert.deepEqual(argvOf(["git", "--version"]), ["git", "--version"]);
  assert.deepEqual(argvOf("a | b"), ["/bin/sh", "-c", "a | b"]);
});

test("a command is shown as a shell would take it", () => {
  assert.equal(displayed(["git", "--version"]), "git --version");
  assert.equal(displayed(["echo", "it's", ""]), `echo 'it'\\''s' ''`);
  assert.equal(displayed("ls | wc -l"), "ls | wc -l");
});

test("a shell reads from it the words that were given", () => {
  const word = fc.string({ unit: "grapheme", maxLength: 12 }).filter((text) => !text.includes("\0"));
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
      const script = `printf '%s\\0' ${words.map((each) => displayed([each])).join(" ")}`;
      const read = execFileSync("/bin/sh", ["-c", script]).toString("utf8").split("\0").slice(0, -1);
      assert.deepEqual(
        read,
        words.map((each) => Buffer.from(each).toString("utf8")),
      );
    }),
    { numRuns: 40 },
  );
});

test("the caller's variables win, and the host's never get in", () => {
  assert.deepEqual(environmentOf(["PATH=/only", "A=b=c", "EMPTY=", "LANG=de_DE.UTF-8"]), {
    PATH: "/only",
    LANG: "de_DE.UTF-8",
    A: "b=c",
    EMPTY: "",
  });
  assert.deepEqual(environmentOf([]), { LANG: "C.UTF-8" });
});
