/** `exec --detach`, and coming back to what it started. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CommandSummary } from "../../../src/contract/command-operations.ts";
import { FakeHost, outcomeOf, said } from "../../support/fake-host.ts";

async function workspace(host: FakeHost): Promise<void> {
  await host.serve();
  const { status, stderr } = await host.cli(["workspace", "create", "debian:12", "--name", "api"]);
  assert.equal(status, 0, stderr);
}

async function detach(host: FakeHost, ...command: string[]): Promise<string> {
  const { stdout, stderr } = await host.cli(["ws", "exec", "--detach", "api", "--", ...command]);
  assert.match(stdout, /^[0-9a-f]{16}\n$/, stderr);
  assert.match(stderr, /^\[workspace-exec\] workspace_id=\w+ exec_id=\w+ sequence=\d+ state=running\n$/);
  return stdout.trim();
}

async function listed(host: FakeHost): Promise<CommandSummary[]> {
  const { stdout } = await host.cli(["ws", "command", "list", "api", "--json"]);
  return (JSON.parse(stdout) as { commands: CommandSummary[] }).commands;
}

test("detach: a command goes on without its caller, and is read from its beginning to its end", async () => {
  await using host = new FakeHost();
  await workspace(host);
  const id = await detach(host, "sleep");
  assert.equal((await listed(host))[0]?.state, "running");
  const soFar = await host.cli(["ws", "command", "attach", "api", id, "--so-far"]);
  assert.deepEqual([soFar.status, soFar.stdout], [0, "sleeping\n"]);
  assert.match(soFar.stderr, new RegExp(`^\\[workspace-command-attach\\] exec_id=${id} sequence=1 state=running\\n$`));
  const attached = host.start(["ws", "command", "attach", "api", id]);
  const outcome = outcomeOf(attached);
  await said(attached.stdout, "sleeping");
  const { stdout: killed } = await host.cli(["ws", "command", "kill", "api", id]);
  assert.equal(killed, `[workspace-command-kill] exec_id=${id} delivered=yes\n`);
  const { status, stdout, stderr } = await outcome;
  assert.deepEqual([status, stdout], [143, "sleeping\n"]);
  assert.match(stderr, /state=exited exit_code=143 duration_ms=\d+\n$/);
  // It has ended, and is still there to be read.
  const again = await host.cli(["ws", "command", "attach", "api", id, "-q"]);
  assert.deepEqual([again.status, again.stdout, again.stderr], [143, "sleeping\n", ""]);
  const list = await host.cli(["ws", "command", "list", "api"]);
  assert.match(list.stdout, new RegExp(`^${id} \\[exited\\] exit_code=143 sequence=1 started=\\S+ \\$ sleep\\n$`));
  assert.match((await host.cli(["ws", "logs", "api"])).stdout, /^#1 exit_code=143 /);
});

test("detach: Ctrl-C on a reader ends the reading and not the command", async () => {
  await using host = new FakeHost();
  await workspace(host);
  const id = await detach(host, "sleep");
  const reader = host.start(["ws", "command", "attach", "api", id]);
  const outcome = outcomeOf(reader);
  await said(reader.stdout, "sleeping");
  reader.kill("SIGINT");
  assert.equal((await outcome).status, 130);
  assert.equal((await listed(host))[0]?.state, "running");
});

test("detach: output that is not kept is counted, and said before what follows", async () => {
  await using host = new FakeHost();
  await workspace(host);
  const total = 3 * 1024 * 1024;
  const id = await detach(host, "flood", String(total));
  const read = await host.cli(["ws", "command", "attach", "api", id]);
  const dropped = Number(/^\[workspace-command-attach\] stdout_dropped_bytes=(\d+)$/m.exec(read.stderr)?.[1]);
  assert.ok(dropped > 0);
  assert.equal(read.stdout.length + dropped, total);
  const { stdout } = await host.cli(["ws", "command", "attach", "api", id, "--json"]);
  const result = JSON.parse(stdout) as { stdout: string; stdout_dropped_bytes: number; exit_code: number };
  assert.deepEqual([result.stdout.length, result.stdout_dropped_bytes], [total - dropped, dropped]);
});

test("detach: it has no time limit of its own, and the one it is given", async () => {
  await using host = new FakeHost();
  await workspace(host);
  for (const [flags, limit] of [
    [[], undefined],
    [["--timeout-seconds", "7"], 7000],
  ] as const) {
    const { stdout } = await host.cli(["ws", "exec", "-d", "api", ...flags, "--json", "--", "request"]);
    const { exec_id: id, state } = JSON.parse(stdout) as CommandSummary;
    assert.equal(state, "running");
    const read = await host.cli(["ws", "command", "attach", "api", id]);
    assert.equal((JSON.parse(read.stdout) as { timeLimitMs?: number }).timeLimitMs, limit);
  }
});

test("detach: the last that ended are kept, the others are in the log", async () => {
  await using host = new FakeHost();
  await workspace(host);
  using pyro = host.pyro();
  const running = await detach(host, "sleep");
  const ids: string[] = [];
  for (let index = 0; index < 20; index += 1) {
    const { exec_id: id } = await pyro.workspace.command.start({ workspace: "api", command: ["exit", String(index)] });
    await pyro.workspace.command.attach({ workspace: "api", exec_id: id });
    ids.push(id);
  }
  assert.deepEqual(
    (await listed(host)).map(({ exec_id: id, exit_code: code }) => [id, code]),
    [[running, null], ...ids.slice(4).map((id, index) => [id, index + 4])],
  );
  const gone = await host.cli(["ws", "command", "attach", "api", ids[0] ?? ""]);
  assert.equal(gone.status, 125);
  assert.match(gone.stderr, /there is no detached command .+\n[^]*pyro workspace command list/);
  assert.equal((await pyro.workspace.logs({ workspace: "api" })).count, 20);
});

test("detach: a stop ends them, which readers are told and the log says", async () => {
  await using host = new FakeHost();
  await workspace(host);
  const [polite, stubborn] = [await detach(host, "sleep"), await detach(host, "stubborn")];
  const reader = outcomeOf(host.start(["ws", "command", "attach", "api", stubborn]));
  await host.cli(["ws", "stop", "api"]);
  const { status, stderr } = await reader;
  assert.ok(status === 125 || status === 137, stderr);
  assert.deepEqual(await listed(host), []);
  const logs = (await host.cli(["ws", "logs", "api"])).stdout;
  assert.match(logs, /^#1 exit_code=143 [^\n]+ interrupted="the workspace was stopped"$/m);
  assert.match(logs, /^#2 exit_code=137 [^\n]+ interrupted="the workspace was stopped"$/m);
  assert.equal((await host.cli(["ws", "command", "attach", "api", polite])).status, 125);
});

test("detach: what it cannot have is refused", async () => {
  await using host = new FakeHost();
  await workspace(host);
  for (const flag of ["-i", "-t", "-it"]) {
    const { status, stderr } = await host.cli(["ws", "exec", "-d", flag, "api", "--", "true"]);
    assert.equal(status, 2);
    assert.match(stderr, /a detached command has no standard input and no terminal/);
  }
  for (const id of ["x", "../../etc", "0".repeat(15)]) {
    assert.equal((await host.cli(["ws", "command", "attach", "api", id])).status, 2);
  }
});
