import assert from "node:assert/strict";
import { test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { nameOf, shownPath, workspacePath } from "../../../src/workspace/files/workspace-path.ts";

test("workspace paths: those in the workspace are taken, however they are written", () => {
  for (const [text, expected] of [
    ["src/note.txt", "src/note.txt"],
    ["./src//note.txt/", "src/note.txt"],
    ["/workspace/src", "src"],
    ["/workspace", ""],
    ["/workspace/", ""],
    [".", ""],
    ["a..b/..c", "a..b/..c"],
    ["a\nb", "a\nb"],
  ] as const) {
    assert.equal(workspacePath(text).toString(), expected, text);
  }
  assert.equal(shownPath(workspacePath("src")), "/workspace/src");
  assert.equal(nameOf(workspacePath("a/b")).toString(), "b");
  assert.equal(nameOf(workspacePath(".")).toString(), "workspace");
});

test("workspace paths: those that lead out are refused", () => {
  for (const text of ["", "/", "/etc/passwd", "..", "a/../b", "/workspace/..", "/workspacex", "a\0b"]) {
    assert.throws(
      () => workspacePath(text),
      (failure: unknown) => PyroError.is(failure) && failure.code === "invalid_argument",
      JSON.stringify(text),
    );
  }
});
