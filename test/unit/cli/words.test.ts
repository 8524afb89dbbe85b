import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { toJson } from "../../../src/cli/json.ts";
import { printable } from "../../../src/cli/printable.ts";
import { commandOf, splitAtDashes } from "../../../src/cli/words-after-dashes.ts";

test("only the first -- is pyro's own", () => {
  assert.deepEqual(splitAtDashes(["run", "x", "--", "a", "--", "b"]), { own: ["run", "x"], rest: ["a", "--", "b"] });
  assert.deepEqual(splitAtDashes(["run", "x"]), { own: ["run", "x"], rest: undefined });
});

test("several words are never a script", () => {
  fc.assert(
    fc.property(fc.array(fc.string(), { minLength: 2, maxLength: 5 }), (words) => {
      assert.deepEqual(commandOf(words), words);
    }),
  );
  assert.deepEqual(commandOf(["/usr/bin/env"]), ["/usr/bin/env"]);
  assert.equal(commandOf(["ls; pwd"]), "ls; pwd");
  assert.equal(commandOf(["echo\thi"]), "echo\thi");
});

test("JSON reads back as what it was, is ASCII, sorted, and ends with one newline", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = toJson(value);
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
      assert.match(text, /^[\u0020-\u007e\n]*\n$/);
    }),
  );
  assert.equal(
    toJson({ b: [{ z: 1, a: 2 }], a: "é" }),
    '{\n  "a": "\\u00e9",\n  "b": [\n    {\n      "a": 2,\n      "z": 1\n    }\n  ]\n}\n',
  );
});

test("nothing that a terminal obeys is left in a printable text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      assert.doesNotMatch(printable(text), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
    }),
  );
  assert.equal(printable("a\u001b]0;x\u0007b\nc"), "a\\x1b]0;x\\x07b\\nc");
});
