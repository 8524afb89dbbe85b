/** The log of a workspace's commands, over crashes. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Scope } from "../../../src/host/scope.ts";
import { CommandLog } from "../../../src/workspace/command-log.ts";

const entry = (sequence: number) => ({
  sequence,
  command: `echo ${sequence}`,
  cwd: "/workspace",
  exit_code: 0,
  duration_ms: 1,
  recorded_at: "2026-01-01T00:00:00Z",
  stdout: `${sequence}\n`,
  stderr: "",
  stdout_dropped_bytes: 0,
  stderr_dropped_bytes: 0,
});

test("command log: a line that a crash has cut takes neither the one before nor the one after it along", async () => {
  await using scope = new Scope();
  const directory = await mkdtemp(join(tmpdir(), "pyro-unit-"));
  scope.defer(async () => await rm(directory, { recursive: true }));
  const path = join(directory, "commands.jsonl");
  await new CommandLog(directory).add(entry(1));
  const whole = await readFile(path);
  await new CommandLog(directory).add(entry(2));
  const both = await readFile(path);
  for (let length = whole.length; length < both.length; length += 1) {
    await truncate(path, length);
    const log = new CommandLog(directory);
    await log.add(entry(3));
    const sequences = (await log.read()).map(({ sequence }) => sequence);
    assert.deepEqual(sequences, length === both.length - 1 ? [1, 2, 3] : [1, 3], `cut at ${length}`);
    await rm(path);
    await new CommandLog(directory).add(entry(1));
    await new CommandLog(directory).add(entry(2));
  }
});
