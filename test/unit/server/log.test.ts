import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const MODULE = new URL("../../../src/server/log.js", import.meta.url).href;

/** Writes `lines` lines in a process whose standard error is the log. */
function logged(state: string, lines: number): void {
  const log = openSync(join(state, "server.log"), "a");
  const script = `
    const { startLog, log } = await import(${JSON.stringify(MODULE)});
    startLog({ state: ${JSON.stringify(state)} });
    for (let line = 0; line < ${lines}; line += 1) log("call", { operation: "run", detail: "x".repeat(2000), line });
  `;
  const { status } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "ignore", log],
  });
  closeSync(log);
  assert.equal(status, 0);
}

test("the log is bounded, over starts and within one", () => {
  const state = mkdtempSync(join(tmpdir(), "pyro-test-"));
  writeFileSync(join(state, "server.log"), "old\n".repeat(1_100_000));
  logged(state, 1);
  assert.ok(statSync(join(state, "server.log")).size < 2000);
  assert.match(readFileSync(join(state, "server.log.1"), "utf8").slice(0, 8), /old/);
  logged(state, 10_000);
  assert.ok(statSync(join(state, "server.log")).size <= 4 * 1024 * 1024 + 1100);
  for (const line of readFileSync(join(state, "server.log"), "utf8").trimEnd().split("\n")) {
    assert.match(line, /^\d{4}-\d\d-\d\dT[\d:.]+Z call operation="run"/);
    assert.ok(line.length <= 1000);
  }
  rmSync(state, { recursive: true });
});
