/**
 * The command lines in our documents, which tests run.
 *
 * A `console` block says after its language what happens to it:
 *
 *     ```console run            run on the host, by test/pack, with the installed package
 *     ```console run guest      run by test/guest, with real guests
 *     ```console no-run reason="installs system packages"
 *
 * Lines that begin with `$ ` are commands and must exit with 0. Every line shown below a command must appear in what it
 * prints, in any order, because stdout and stderr have none between them; `...` in it stands for any text, and a line
 * `...` alone for any lines.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import type { SourceFile } from "../tidy/tree.ts";

type Mode = "host" | "guest" | "never";

export interface ConsoleBlock {
  readonly path: string;
  readonly line: number;
  readonly mode: Mode;
  readonly commands: readonly { readonly command: string; readonly expected: readonly string[] }[];
}

const INFO: readonly { pattern: RegExp; mode: Mode }[] = [
  { pattern: /^console run$/, mode: "host" },
  { pattern: /^console run guest$/, mode: "guest" },
  { pattern: /^console no-run reason="[^"]{8,}"$/, mode: "never" },
];

/** The console blocks of a document; throws at the first one that does not say whether it is run. */
export function consoleBlocks(file: SourceFile): ConsoleBlock[] {
  const fences = /^```(console\b[^\n]*)\n([\s\S]*?)^```$/gm;
  return [...file.text.matchAll(fences)].map((match) => {
    const [, info = "", body = ""] = match;
    const line = file.text.slice(0, match.index).split("\n").length;
    const mode = INFO.find(({ pattern }) => pattern.test(info.trim()))?.mode;
    assert.ok(mode, `${file.path}: \`\`\`${info}: say \`run\`, \`run guest\` or \`no-run reason="…"\``);
    const commands = commandsIn(body);
    assert.notEqual(commands.length, 0, `${file.path}: a console block has no line that begins with "$ "`);
    return { path: file.path, line, mode, commands };
  });
}

function commandsIn(body: string): ConsoleBlock["commands"] {
  const parts = body.split(/^\$ /m);
  return parts.slice(1).map((part) => {
    const lines = part.split("\n");
    // A command goes on as long as its line ends with a backslash.
    const last = lines.findIndex((line) => !line.endsWith("\\"));
    const expected = lines.slice(last + 1).filter((line) => line.trim() !== "" && line.trim() !== "...");
    return { command: lines.slice(0, last + 1).join("\n"), expected };
  });
}

/** Runs a block's commands in order and holds what they print against what the document shows. */
export function runBlock(
  block: ConsoleBlock,
  options: { cwd: string; env: NodeJS.ProcessEnv; timeoutMs: number },
): void {
  for (const { command, expected } of block.commands) {
    const { cwd, env, timeoutMs: timeout } = options;
    const result = spawnSync("bash", ["-c", command], { cwd, env, timeout, encoding: "utf8" });
    const printed = `${result.stdout}\n${result.stderr}\n${result.error?.message ?? ""}`;
    assert.equal(result.status, 0, `${block.path}: \`${command}\` exits with ${result.status}:\n${printed}`);
    for (const line of expected) {
      assert.match(printed, patternOf(line), `${block.path}: \`${command}\` does not print: ${line}`);
    }
  }
}

/** A shown line as a pattern for a whole line. */
export function patternOf(line: string): RegExp {
  const parts = line
    .trimEnd()
    .split("...")
    .map((text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${parts.join(".*")}\\s*$`, "m");
}
