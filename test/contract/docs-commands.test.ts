/** Every command line in the documents is run by a test, or says why not. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { consoleBlocks, patternOf } from "./docs/console-blocks.ts";
import { projectFiles } from "./tidy/tree.ts";

const documents = projectFiles().filter(({ path }) => path.endsWith(".md"));
const block = (info: string, body: string) => ({
  path: "docs/x.md",
  text: `Text.\n\n\`\`\`${info}\n${body}\n\`\`\`\n`,
});

describe("commands in documents", () => {
  it("say whether a test runs them", () => {
    const blocks = documents.flatMap((document) => consoleBlocks(document));
    assert.ok(
      blocks.some(({ mode }) => mode === "host"),
      "no document has a block that is run on the host",
    );
    assert.ok(
      blocks.some(({ mode }) => mode === "guest"),
      "no document has a block that is run in a guest",
    );
  });

  it("are refused without a word about it, with an unknown word, or with an empty reason", () => {
    for (const info of ["console", "console walk", 'console no-run reason=""', "console no-run"]) {
      assert.throws(() => consoleBlocks(block(info, "$ true")), /say `run`/, info);
    }
  });

  it("are refused when no line is a command", () => {
    assert.throws(() => consoleBlocks(block("console run", "true")), /no line that begins/);
  });

  it("are read with their continuation lines and the output shown below", () => {
    const [read] = consoleBlocks(
      block("console run guest", "$ pyro run \\\n  debian:12\ngit version ...\n...\n$ true"),
    );
    assert.deepEqual(read, {
      path: "docs/x.md",
      line: 3,
      mode: "guest",
      commands: [
        { command: "pyro run \\\n  debian:12", expected: ["git version ..."] },
        { command: "true", expected: [] },
      ],
    });
  });

  it("match whole lines, with `...` for any text", () => {
    assert.match("a\ngit version 2.39.5\nb", patternOf("git version ..."));
    assert.doesNotMatch("my git version 2", patternOf("git version ..."));
    assert.doesNotMatch("1.2", patternOf("1x2"));
  });
});
