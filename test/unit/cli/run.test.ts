import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CLI, done, FakeHost, outcomeOf, said } from "../../support/fake-host.ts";

const SUMMARY =
  /^\[run\] environment=debian:12 execution_mode=guest_serial exit_code=0 duration_ms=\d+ isolation=emulated$/;

test("phases, output and summary are as in the transcript", async () => {
  await using host = new FakeHost();
  await host.serve();
  const { status, stdout, stderr } = await host.cli(["run", "debian:12", "--", "git", "--version"]);
  assert.equal(status, 0);
  assert.equal(stdout, "git version 2.39.5\n");
  const lines = stderr.split("\n");
  assert.deepEqual(lines.slice(0, 3), [
    "[run] phase=create environment=debian:12",
    "[run] phase=start vm_id=000000000001",
    "[run] phase=execute vm_id=000000000001",
  ]);
  assert.match(lines[3] ?? "", SUMMARY);
  assert.deepEqual(lines.slice(4), [""]);
  assert.deepEqual(host.machines.history, ["open 000000000001", "close 000000000001"]);
});

test("the guest's exit status is the CLI's", async () => {
  await using host = new FakeHost();
  await host.serve();
  for (const [command, status] of [
    [["exit", "7"], 7],
    [["timeout"], 124],
    [["oom"], 137],
    [["no-such-program"], 127],
  ] as const) {
    assert.equal((await host.cli(["run", "-q", "debian:12", "--", ...command])).status, status);
  }
});

test("--json is one document with sorted keys and nothing beside it", async () => {
  await using host = new FakeHost();
  await host.serve();
  const { status, stdout, stderr } = await host.cli(["run", "--json", "debian:12", "--", "print", "stdout", "ä\u007f"]);
  assert.equal(status, 0);
  assert.equal(stderr, "");
  assert.ok(stdout.endsWith("}\n"));
  assert.match(stdout, /"stdout": "\\u00e4\\u007f"/);
  const result = JSON.parse(stdout) as Record<string, unknown>;
  const keys = Object.keys(result);
  assert.deepEqual(keys, keys.toSorted());
  assert.deepEqual(result["cleanup"], { deleted: true, reason: "post_exec_cleanup", vm_id: "000000000001" });
  assert.equal(result["command"], "print stdout '\u00e4\u007f'");
  assert.equal(result["environment"], "debian:12");
  assert.equal(result["execution_mode"], "guest_serial");
});

test("flags may stand before and after the environment; every one of them arrives", async () => {
  await using host = new FakeHost();
  await host.serve();
  const flags = ["--timeout-seconds", "2.5", "-e", "A=1", "--env", "B=x y", "-w", "/tmp", "--user=dev"];
  for (const own of [
    [...flags, "debian:12"],
    ["debian:12", ...flags],
  ]) {
    const { stdout, stderr } = await host.cli(["run", ...own, "--", "request", "--json", "-x"]);
    const request = JSON.parse(stdout) as {
      args: string[];
      env: Record<string, string>;
      cwd: string;
      user: string;
      timeLimitMs: number;
    };
    assert.deepEqual(request.args, ["--json", "-x"], stderr);
    assert.equal(request.env["A"], "1");
    assert.equal(request.env["B"], "x y");
    assert.deepEqual([request.cwd, request.user, request.timeLimitMs], ["/tmp", "dev", 2500]);
  }
});

test("one word with blanks is a script, one without is a program", async () => {
  await using host = new FakeHost();
  await host.serve();
  const script = await host.cli(["run", "-q", "debian:12", "--", "cat /etc/os-release | head -1"]);
  assert.equal(script.stdout, `script ["-c","cat /etc/os-release | head -1"]\n`);
  assert.equal((await host.cli(["run", "-q", "debian:12", "--", "true"])).status, 0);
});

test("standard input goes in, and /dev/null is none", async () => {
  await using host = new FakeHost();
  await host.serve();
  assert.equal((await host.cli(["run", "-q", "debian:12", "--", "cat"], { input: "hello\n" })).stdout, "hello\n");
  const nothing = openSync("/dev/null", "r");
  const child = spawn(process.execPath, [CLI, "run", "-q", "debian:12", "--", "cat"], {
    env: host.env,
    stdio: [nothing, "pipe", "pipe"],
  });
  closeSync(nothing);
  assert.equal((await outcomeOf(child)).status, 0);
});

test("an open and silent standard input does not keep the CLI after the command", async () => {
  await using host = new FakeHost();
  await host.serve();
  const { status } = await host.cli(["run", "-q", "debian:12", "--", "true"]);
  assert.equal(status, 0);
});

test("the summary starts on a line of its own and the output stays as it was", async () => {
  await using host = new FakeHost();
  await host.serve();
  const apart = await host.cli(["run", "debian:12", "--", "print", "stdout", "no newline"]);
  assert.equal(apart.stdout, "no newline");
  assert.match(apart.stderr.split("\n")[3] ?? "", SUMMARY, "another file: nothing to separate");
  const onStderr = await host.cli(["run", "debian:12", "--", "print", "stderr", "no newline"]);
  assert.deepEqual(onStderr.stderr.split("\n").slice(3, 4), ["no newline"]);
  assert.match(onStderr.stderr.split("\n")[4] ?? "", SUMMARY);
  const path = join(host.paths.state, "both");
  const both = openSync(path, "w");
  const child = spawn(process.execPath, [CLI, "run", "debian:12", "--", "print", "stdout", "no newline"], {
    env: host.env,
    stdio: ["ignore", both, both],
  });
  await once(child, "close");
  const lines = readFileSync(path, "utf8").split("\n");
  assert.equal(lines[3], "no newline");
  assert.match(lines[4] ?? "", SUMMARY);
});

test("the first Ctrl-C goes to the guest's command, whose end is then the answer", async () => {
  await using host = new FakeHost();
  await host.serve();
  const child = host.start(["run", "debian:12", "--", "sleep"]);
  const outcome = outcomeOf(child);
  await said(child.stdout, "sleeping");
  child.kill("SIGINT");
  const { status, stderr } = await outcome;
  assert.equal(status, 130);
  assert.match(stderr, /exit_code=130/);
});

test("the second Ctrl-C ends the machine", async () => {
  await using host = new FakeHost();
  await host.serve();
  const child = host.start(["run", "-q", "debian:12", "--", "stubborn"]);
  const outcome = outcomeOf(child);
  await said(child.stdout, "sleeping");
  child.kill("SIGINT");
  await said(child.stdout, "signal 2");
  child.kill("SIGINT");
  const { status, stderr } = await outcome;
  assert.equal(status, 130);
  assert.equal(stderr, "");
  await done(host, "close 000000000001");
});

test("Ctrl-C while an environment is being installed ends that", async () => {
  await using host = new FakeHost();
  await host.serve();
  const child = host.start(["run", "debian:12", "--mem-mib", "2999", "--", "true"]);
  const outcome = outcomeOf(child);
  await said(child.stderr, "[pull] phase=packages environment=debian:12 bytes=4096 percent=12");
  child.kill("SIGINT");
  assert.equal((await outcome).status, 130);
  await done(host, "pull cancelled");
});

for (const [signal, status] of [
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const) {
  test(`${signal} ends everything at once`, async () => {
    await using host = new FakeHost();
    await host.serve();
    const child = host.start(["run", "-q", "debian:12", "--", "stubborn"]);
    const outcome = outcomeOf(child);
    await said(child.stdout, "sleeping");
    child.kill(signal);
    assert.equal((await outcome).status, status);
    await done(host, "close 000000000001");
  });
}

test("a reader of the output that goes away is the end, without a word", async () => {
  await using host = new FakeHost();
  await host.serve();
  const child = host.start(["run", "-q", "debian:12", "--", "flood", String(1024 ** 3)]);
  let stderr = "";
  child.stderr?.on("data", (piece: Buffer) => (stderr += piece.toString()));
  await once(child.stdout as NodeJS.ReadableStream, "data");
  child.stdout?.destroy();
  const [status] = (await once(child, "exit")) as [number];
  assert.equal(status, 141);
  assert.equal(stderr, "");
  await done(host, "close 000000000001");
});

test("Ctrl-C reaches a CLI whose reader has stopped reading", async () => {
  await using host = new FakeHost();
  await host.serve();
  const child = host.start(["run", "-q", "debian:12", "--", "flood", String(1024 ** 3)]);
  await once(child.stdout as NodeJS.ReadableStream, "readable");
  child.kill("SIGTERM");
  await done(host, "close 000000000001");
  child.kill("SIGKILL");
});
