import assert from "node:assert/strict";
import { test } from "node:test";
import { pullReporter } from "../../../src/cli/pull-progress.ts";

const environment = "debian:12";

test("off a terminal every phase has its line, and one that takes long not one for each step", () => {
  const lines: string[] = [];
  const reporter = pullReporter({ interactive: false, note: (line) => void lines.push(line), result: () => undefined });
  reporter.report({ phase: "install", environment });
  for (let percent = 0; percent <= 100; percent += 1)
    reporter.report({ phase: "packages", environment, bytes: percent * 10, percent });
  reporter.report({ phase: "ready", environment });
  assert.deepEqual(lines, [
    "[pull] phase=install environment=debian:12",
    "[pull] phase=packages environment=debian:12 bytes=0 percent=0",
    "[pull] phase=ready environment=debian:12",
  ]);
});

test("on a terminal a bar is redrawn within one line, which ends when the phase does", (t) => {
  let screen = "";
  t.mock.method(process.stderr, "write", (text: string) => {
    screen += text;
    return true;
  });
  const reporter = pullReporter({ interactive: true, note: () => undefined, result: () => undefined });
  reporter.report({ phase: "packages", environment, percent: 50, bytes: 1024 ** 2 });
  reporter.report({ phase: "packages", environment, percent: 140, detail: "evil\u001b[2J" });
  reporter.report({ phase: "ready", environment });
  reporter.end();
  t.mock.restoreAll();
  const drawn = screen.split("\r\u001b[K");
  assert.equal(
    drawn[1],
    "[pull] phase=packages environment=debian:12 [############............] 50% 1.0 MiB".slice(0, 79),
  );
  assert.match(drawn[2] ?? "", /\[#{24}\] 140%|\[#{24}\]/);
  assert.doesNotMatch(drawn[2] ?? "", /\u001b/);
  assert.equal(drawn[3], "[pull] phase=ready environment=debian:12\n");
});
