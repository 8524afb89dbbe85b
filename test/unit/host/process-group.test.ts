import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { PyroError } from "../../../src/contract/error.ts";
import { startGroup } from "../../../src/host/process-group.ts";

const QUIET = ["ignore", "ignore", "ignore"] as const;
const OUTPUT = ["ignore", "pipe", "ignore"] as const;

function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

/** Starts a shell that prints the pid of a child of its own and waits for it. */
function groupWithChild(options: { deadlineMs: number; signal?: AbortSignal }) {
  const group = startGroup("sh", ["-c", "trap '' TERM; sleep 60 & echo $!; wait"], {
    ...options,
    stdio: OUTPUT,
    graceMs: 50,
  });
  const grandchild = once(group.child.stdout!, "data").then(([chunk]) => Number(String(chunk)));
  return { group, grandchild };
}

test("process group: the outcome and the whole output arrive", async () => {
  const group = startGroup("sh", ["-c", "head -c 300000 /dev/zero; exit 7"], { deadlineMs: 5000, stdio: OUTPUT });
  let bytes = 0;
  group.child.stdout?.on("data", (chunk: Buffer) => (bytes += chunk.length));
  assert.deepEqual(await group.ended, { code: 7, signal: null });
  assert.equal(bytes, 300_000);
});

test("process group: cancelling ends the program and what it started, also when they ignore SIGTERM", async () => {
  const abort = new AbortController();
  const { group, grandchild } = groupWithChild({ deadlineMs: 5000, signal: abort.signal });
  const pid = await grandchild;
  abort.abort();
  await assert.rejects(group.ended, { code: "cancelled" });
  assert.equal(isRunning(pid), false);
});

test("process group: so does the deadline", async () => {
  const { group, grandchild } = groupWithChild({ deadlineMs: 100 });
  const pid = await grandchild;
  await assert.rejects(group.ended, { code: "deadline_exceeded" });
  assert.equal(isRunning(pid), false);
});

test("process group: what outlives the leader is ended with it", async () => {
  const group = startGroup("sh", ["-c", "sleep 60 & echo $!"], { deadlineMs: 5000, stdio: OUTPUT });
  const [pid] = await once(group.child.stdout!, "data");
  await group.ended;
  assert.equal(isRunning(Number(String(pid))), false);
});

test("process group: stopping gives the reason", async () => {
  const group = startGroup("sleep", ["60"], { deadlineMs: 5000, stdio: QUIET });
  group.stop(new PyroError("resource_exhausted", "the disk is full"));
  await assert.rejects(group.ended, { code: "resource_exhausted" });
});

test("process group: a program that is not there is a missing dependency", async () => {
  await assert.rejects(startGroup("no-such-program", [], { deadlineMs: 1000, stdio: QUIET }).ended, {
    code: "dependency_missing",
  });
});

test("process group: a tethered one ends when its starter is killed", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "pyro-unit-"));
  t.after(() => rm(directory, { recursive: true }));
  const held = join(directory, "held");
  execFileSync("mkfifo", [held]);
  const module = fileURLToPath(new URL("../../../src/host/process-group.js", import.meta.url));
  const script = `
    const { startGroup } = await import(${JSON.stringify(module)});
    const options = { deadlineMs: 60000, graceMs: 0, tether: true, stdio: ["ignore", "ignore", "ignore"] };
    await startGroup("sh", ["-c", "exec >" + ${JSON.stringify(held)} + "; echo started; sleep 60"], options).ended;`;
  const starter = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  // The other end stays open for as long as one process of the group lives.
  const pipe = createReadStream(held);
  const ended = once(pipe, "end");
  await once(pipe, "data");
  starter.kill("SIGKILL");
  await ended;
});
