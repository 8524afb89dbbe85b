import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { runProgram } from "../../../src/host/process.ts";

const directory = await mkdtemp(join(tmpdir(), "pyro-process-"));
after(async () => await rm(directory, { recursive: true }));

const sh = async (script: string, options: Partial<Parameters<typeof runProgram>[2]> = {}) =>
  await runProgram("/bin/sh", ["-c", script], { deadlineMs: 20_000, ...options });

test("process: output, status, signal and input are as they are", async () => {
  assert.deepEqual(await sh("cat; echo err >&2; exit 3", { input: "in" }), {
    code: 3,
    signal: null,
    stdout: "in",
    stderr: "err\n",
  });
  assert.equal((await sh("kill -TERM $$")).signal, "SIGTERM");
});

test("process: one that reads none of its input is no failure", async () => {
  assert.equal((await sh("exec 0<&-; exit 0", { input: Buffer.alloc(4 * 1024 * 1024) })).code, 0);
});

test("process: at the deadline it is asked to end, and made to when it does not listen", async () => {
  await assert.rejects(sh("exec sleep 60", { deadlineMs: 100 }), { code: "deadline_exceeded" });
  const start = performance.now();
  await assert.rejects(sh('trap "" TERM; echo deaf; while :; do :; done', { deadlineMs: 300 }), {
    code: "deadline_exceeded",
  });
  assert.ok(performance.now() - start < 10_000, "SIGKILL after the grace");
});

test("process: a descendant that keeps the pipes open keeps nobody waiting past the deadline", async () => {
  const start = performance.now();
  let descendant = 0;
  const onStderr = (text: string): void => void (descendant ||= Number(text));
  const failure = await sh("sleep 30 & echo $! >&2", { deadlineMs: 500, onStderr }).catch((reason: unknown) => reason);
  process.kill(descendant, "SIGKILL");
  assert.ok(PyroError.is(failure));
  assert.equal(failure.code, "deadline_exceeded");
  assert.ok(performance.now() - start < 10_000);
});

test("process: cancelling ends it, also when it was cancelled before it began", async () => {
  const controller = new AbortController();
  const running = sh("echo begun >&2; exec sleep 60", {
    signal: controller.signal,
    onStderr: () => controller.abort(),
  });
  await assert.rejects(running, { code: "cancelled" });
  await assert.rejects(sh("exec sleep 60", { signal: AbortSignal.abort() }), { code: "cancelled" });
});

test("process: of a flood of output the last megabyte is kept", async () => {
  const { stdout } = await sh("head -c 50000000 /dev/zero | tr '\\0' a; echo end");
  assert.equal(stdout.length, 1024 * 1024);
  assert.ok(stdout.endsWith("aend\n"));
});

test("process: progress comes in whole characters", async () => {
  const pieces: string[] = [];
  await sh("printf '\\342\\202' >&2; sleep 0.2; printf '\\254' >&2", { onStderr: (text) => pieces.push(text) });
  assert.equal(pieces.join(""), "€");
});

test("process: a program that is missing, or may not be run, is named with what to do", async () => {
  await assert.rejects(runProgram("no-such-program", [], { deadlineMs: 1000 }), (failure: unknown) => {
    assert.ok(PyroError.is(failure));
    assert.equal(failure.code, "dependency_missing");
    assert.match(failure.remedy ?? "", /pyro doctor/);
    return true;
  });
  const file = join(directory, "not-executable");
  await writeFile(file, "#!/bin/sh\n", { mode: 0o600 });
  await assert.rejects(runProgram(file, [], { deadlineMs: 1000 }), { code: "permission_denied" });
});
