/** Runs the documents' `console run guest` blocks, as a reader would type them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { consoleBlocks, runBlock } from "../contract/docs/console-blocks.ts";
import { projectFiles } from "../contract/tidy/tree.ts";
import { pathWithPyro } from "../contract/docs/path-with-pyro.ts";
import { client } from "../support/guest-host.ts";

/** A block may be the first thing that needs an environment, and so pull it. */
const COMMAND_TIMEOUT_MS = 600_000;

// Ends the server when the file is over.
client();

const blocks = projectFiles()
  .filter(({ path }) => path.endsWith(".md"))
  .flatMap((document) => consoleBlocks(document))
  .filter(({ mode }) => mode === "guest");

describe("commands in documents, in a guest", () => {
  const folder = mkdtempSync(join(tmpdir(), "pyro-docs-"));
  after(() => rmSync(folder, { recursive: true }));

  for (const block of blocks) {
    it(`${block.path}:${block.line} prints what it shows`, () => {
      const env = { ...process.env, PATH: pathWithPyro(folder) };
      runBlock(block, { cwd: folder, env, timeoutMs: COMMAND_TIMEOUT_MS });
    });
  }
});
