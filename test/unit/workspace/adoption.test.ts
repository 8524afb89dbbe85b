/** Workspaces whose server was killed, or replaced, and their machines without guests. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { Exec } from "../../../src/machine/machine.ts";
import { idleSecondsLeft } from "../../../src/workspace/adoption.ts";
import { type DetachedCommand, noteOf } from "../../../src/workspace/detached.ts";
import type { WorkspaceRecord } from "../../../src/workspace/record.ts";
import type { Workspace } from "../../../src/workspace/workspace.ts";
import { claimedMachines } from "../../../src/workspace/workspaces.ts";
import { FakeHost, said } from "../../support/fake-host.ts";
import { call, NEW_WORKSPACE } from "../../support/new-workspace.ts";

async function exec(workspace: Workspace, ...argv: string[]): Promise<Exec> {
  const { machine } = await workspace.commands.next(argv.join(" "), call.signal);
  const request = { argv, env: {}, cwd: "", user: "root", timeLimitMs: 1000, stdin: undefined };
  return machine.exec({ ...request, onOutput: () => undefined });
}

test("adoption: the next server goes on with the machine, and ends and logs what nobody waits for", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await all.create(NEW_WORKSPACE, call);
  const { id } = made.machine ?? assert.fail();
  assert.equal((await (await exec(made, "touch")).outcome).exitCode, 0);
  const orphan = await exec(made, "sleep");
  const later = await host.workspaces();
  const found = later.find(made.record.id);
  assert.deepEqual([found.machine?.id, found.record.state, found.record.changed], [id, "started", true]);
  assert.equal((await orphan.outcome).signal, 9);
  const logged = (await found.commands.logged()).filter(({ interrupted }) => interrupted !== undefined);
  assert.deepEqual(
    logged.map(({ sequence, command, cwd, stdout, exit_code: code }) => ({ sequence, command, cwd, stdout, code })),
    [{ sequence: 2, command: "sleep", cwd: "/workspace", stdout: "sleeping\n", code: 137 }],
  );
  const next = await found.commands.next("true", call.signal);
  assert.equal(next.sequence, 3);
  await later.close();
});

test("adoption: detached commands go on, are listed and read as before, and are logged once", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await all.create(NEW_WORKSPACE, call);
  const request = { env: {}, cwd: "/workspace", user: "root", timeLimitMs: undefined };
  const detach = async (...argv: string[]): Promise<DetachedCommand> =>
    await made.commands.detach(argv.join(" "), { ...request, argv }, call.signal);
  const output: string[] = [];
  const reader = {
    onOutput: (_stream: string, data: Uint8Array) => void output.push(Buffer.from(data).toString()),
    onDropped: () => undefined,
    signal: call.signal,
  };
  const ended = await detach("exit", "3");
  await (await made.commands.detached()).find(ended.execId).kept.attach(reader);
  // With nothing running what was called before is forgotten: the guest is who knows it.
  const running = await detach("sleep");
  const flooding = await detach("flood", String(3 * 1024 * 1024));
  await (await made.commands.detached()).find(flooding.execId).kept.attach({ ...reader, onOutput: () => undefined });
  const orphan = await exec(made, "sleep");
  // Written after what was to be logged by then.
  await all.update(made, { labels: {} });
  assert.equal((await made.commands.logged()).length, 2);
  const later = await host.workspaces();
  const found = later.find(made.record.id);
  const detached = await found.commands.detached();
  assert.equal((await orphan.outcome).signal, 9);
  const shown = ({ execId, sequence, command, startedAt }: DetachedCommand): unknown[] => [
    execId,
    sequence,
    command,
    startedAt,
  ];
  assert.deepEqual(detached.list().map(shown), [ended, running, flooding].map(shown));
  assert.equal(found.runningCommands, 1);
  const { kept } = detached.find(running.execId);
  const outcome = kept.attach(reader);
  await kept.signal(15);
  assert.deepEqual([(await outcome).exitCode, output], [143, ["sleeping\n"]]);
  await found.stop("asked", "it was stopped");
  // The server before lives on here, and writes down the ends that it sees as well.
  const logged = (await found.commands.logged()).map(({ sequence, exit_code: code }) => `${sequence}: ${code}`);
  const count = (line: string): number => logged.filter((each) => each === line).length;
  assert.deepEqual([count("1: 3"), count("2: 143"), count("3: 0")], [1, 2, 1]);
  await later.close();
});

test("adoption: output that nobody has any more is counted in the log", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await all.create(NEW_WORKSPACE, call);
  const machine = made.machine ?? assert.fail();
  const bytes = 64 * 1024;
  const request = { argv: ["flood", String(4 * bytes)], env: {}, cwd: "", user: "root", timeLimitMs: undefined };
  // As a server does that is killed before it writes anything down.
  const note = new TextEncoder().encode(
    JSON.stringify({ sequence: 7, command: "flood", cwd: "/", startedAt: new Date().toISOString() }),
  );
  await machine.exec({ ...request, stdin: undefined, onOutput: () => undefined, keep: { bytes, note } }).outcome;
  const later = await host.workspaces();
  const found = later.find(made.record.id);
  await found.stop("asked", "it was stopped");
  const [entry] = await found.commands.logged();
  assert.deepEqual([entry?.sequence, entry?.stdout.length, entry?.stdout_dropped_bytes], [7, bytes, 3 * bytes]);
  await later.close();
});

test("adoption: a note that is none, or not ours, makes no detached command", () => {
  const note = { sequence: 1, command: "sleep", cwd: "/", startedAt: new Date().toISOString() };
  const of = (text: string): unknown => noteOf(new TextEncoder().encode(text));
  assert.deepEqual(of(JSON.stringify(note)), note);
  const wrong = [{}, { ...note, sequence: -1 }, { ...note, startedAt: "\u001b[31m" }, { ...note, cwd: 5 }];
  for (const text of ["", "{", "null", ...wrong.map((each) => JSON.stringify(each))]) assert.equal(of(text), undefined);
});

test("adoption: a machine that is gone leaves a stopped workspace, and one that does not answer says so", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const [gone, silent] = [await all.create(NEW_WORKSPACE, call), await all.create(NEW_WORKSPACE, call)];
  host.machines.cut();
  host.machines.unanswering.add(silent.machine?.id ?? "");
  const later = await host.workspaces();
  const reasons = [gone, silent].map(({ record }) => later.find(record.id).record.stopped?.reason);
  assert.deepEqual(reasons, ["server_ended", "vmm_failed"]);
  for (const { record } of [gone, silent]) {
    assert.deepEqual([later.find(record.id).record.machine_id, later.find(record.id).record.changed], [null, true]);
    await later.start(later.find(record.id), call);
  }
  await later.close();
});

test("adoption: only machines of workspaces that were started are claimed", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const [started, stopped] = [await all.create(NEW_WORKSPACE, call), await all.create(NEW_WORKSPACE, call)];
  await stopped.stop("asked", "it was stopped");
  assert.deepEqual([...(await claimedMachines(host.paths))], [started.machine?.id]);
  await all.close();
  assert.equal((await claimedMachines(host.paths)).size, 0);
});

test("adoption: a workspace of a pyro that knew of none is found stopped", async () => {
  await using host = new FakeHost();
  const made = await (await host.workspaces()).create(NEW_WORKSPACE, call);
  const path = join(host.paths.state, "workspaces", made.record.id, "workspace.json");
  const { machine_id: _, ...old } = JSON.parse(await readFile(path, "utf8")) as WorkspaceRecord;
  await writeFile(path, JSON.stringify(old));
  const later = await host.workspaces();
  assert.equal(later.find(made.record.id).record.stopped?.reason, "server_ended");
  await later.close();
});

test("adoption: time without a server counts as idle", () => {
  const at = (secondsAgo: number): WorkspaceRecord =>
    ({
      last_activity_at: new Date(Date.now() - secondsAgo * 1000).toISOString(),
      ttl_seconds: 100,
    }) as WorkspaceRecord;
  assert.ok(Math.abs(idleSecondsLeft(at(40)) - 60) < 5);
  assert.equal(idleSecondsLeft(at(200)), 0);
  assert.equal(idleSecondsLeft(at(-500)), 100, "a clock that was set back");
});

test("adoption: a server that keeps workspaces leaves their machines, and ends when nobody waits for anything else", async () => {
  await using host = new FakeHost();
  using pyro = host.pyro();
  const { workspace_id: id, vm_id: vmId } = await pyro.workspace.create({ environment: "debian:12" });
  await assert.rejects(pyro.server.stop(), { code: "invalid_state" });
  const stdout = new PassThrough();
  const running = pyro.workspace.exec({ workspace: id, command: ["sleep"] }, { stdout });
  await said(stdout, "sleeping");
  await assert.rejects(pyro.server.stop({ keep_workspaces: true }), { code: "invalid_state" });
  await pyro.workspace.stop({ workspace: id });
  await running;
  const again = await pyro.workspace.start({ workspace: id });
  assert.notEqual(again.vm_id, vmId);
  await pyro.workspace.update({ workspace: id, ttl_seconds: 1234 });
  assert.equal((await pyro.server.stop({ keep_workspaces: true })).stopped, true);
  assert.deepEqual(host.history().slice(-2), [`leave ${again.vm_id}`, "closed all"]);
  const path = join(host.paths.state, "workspaces", id, "workspace.json");
  const record = JSON.parse(await readFile(path, "utf8")) as WorkspaceRecord;
  assert.deepEqual([record.state, record.ttl_seconds, record.machine_id], ["started", 1234, again.vm_id]);
});
