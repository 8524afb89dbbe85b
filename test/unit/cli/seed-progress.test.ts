import assert from "node:assert/strict";
import { test } from "node:test";
import { seedReporter } from "../../../src/cli/seed-progress.ts";

const MIB = 1024 ** 2;
const output = { note: () => undefined, result: () => undefined };

test("seed progress: on a terminal it is one line, with files and bytes, that ends when the seed is made", (t) => {
  let screen = "";
  t.mock.method(process.stderr, "write", (text: string) => {
    screen += text;
    return true;
  });
  const reporter = seedReporter({ ...output, interactive: true });
  reporter.report({ type: "seed", phase: "read", entries: 12, bytes: MIB });
  reporter.report({ type: "seed", phase: "fill", entries: 11, bytes: 3 * MIB });
  reporter.end();
  t.mock.restoreAll();
  assert.deepEqual(screen.split("\r\u001b[K"), [
    "",
    "[seed] phase=read entries=12 bytes=1048576 (1.0 MiB)",
    "[seed] phase=fill entries=11 bytes=3145728 (3.0 MiB)\n",
  ]);
});

test("seed progress: off a terminal it is a line now and then, and none of what takes seconds", (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const lines: string[] = [];
  const note = (line: string): void => void lines.push(line);
  const reporter = seedReporter({ ...output, note, interactive: false });
  for (let seconds = 1; seconds <= 25; seconds += 1) {
    now = seconds * 1000;
    reporter.report({ type: "seed", phase: "fill", entries: seconds, bytes: 100 * seconds });
  }
  reporter.end();
  assert.deepEqual(lines, ["[seed] phase=fill entries=11 bytes=1100", "[seed] phase=fill entries=22 bytes=2200"]);
});
