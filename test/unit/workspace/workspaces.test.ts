/** Workspaces on machines without guests: states, names, the trash, and what is left of a server that was killed. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type ErrorCode, PyroError } from "../../../src/contract/error.ts";
import { withDeadline } from "../../../src/host/deadline.ts";
import type { Exec } from "../../../src/machine/machine.ts";
import type { NewWorkspace } from "../../../src/workspace/new-workspace.ts";
import type { Workspaces } from "../../../src/workspace/workspaces.ts";
import type { Workspace } from "../../../src/workspace/workspace.ts";
import { Trash } from "../../../src/workspace/trash.ts";
import { done, FakeHost } from "../../support/fake-host.ts";
import { call, NEW_WORKSPACE } from "../../support/new-workspace.ts";
import type { FakeDisk } from "../../support/fake-volume.ts";

const create = async (all: Workspaces, wanted: Partial<NewWorkspace> = {}): Promise<Workspace> =>
  await all.create({ ...NEW_WORKSPACE, ...wanted }, call);

async function exec(workspace: Workspace, ...argv: string[]): Promise<Exec> {
  const { machine } = await workspace.commands.next(argv.join(" "), call.signal);
  const request = { argv, env: {}, cwd: "/workspace", user: "root", timeLimitMs: 1000, stdin: undefined };
  return machine.exec({ ...request, onOutput: () => undefined });
}

const run = async (workspace: Workspace, ...argv: string[]): Promise<number> =>
  (await (await exec(workspace, ...argv)).outcome).exitCode;

const refused = async (work: Promise<unknown>, code: ErrorCode): Promise<PyroError> => {
  const failure = await work.then(
    () => assert.fail(`expected ${code}`),
    (error: unknown) => error,
  );
  assert.ok(PyroError.is(failure), String(failure));
  assert.equal(failure.code, code, failure.message);
  return failure;
};

const placeOf = (host: FakeHost, { record }: Workspace): string => join(host.paths.state, "workspaces", record.id);
const diskOf = (host: FakeHost, workspace: Workspace): FakeDisk =>
  host.machines.disk(join(placeOf(host, workspace), "volume.raw"));

test("workspaces: one is made, stopped, started and found by id and by name", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await create(all, { name: "api", labels: { team: "web" } });
  assert.deepEqual([made.record.state, made.record.changed, made.record.vcpu_count], ["started", false, 1]);
  assert.equal(all.find("api"), made);
  assert.equal(all.find(made.record.id), made);
  await made.stop("asked", "it was stopped");
  assert.deepEqual(diskOf(host, made).calls, ["sync and trim"]);
  assert.deepEqual([made.record.state, made.record.stopped?.reason, made.record.changed], ["stopped", "asked", false]);
  await refused(exec(made, "true"), "invalid_state");
  await all.start(made, call);
  assert.deepEqual([made.record.state, made.record.stopped], ["started", null]);
  assert.equal(await run(made, "true"), 0);
  await all.close();
});

test("workspaces: a name is taken once, also while it is being made, and given back", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const first = create(all, { name: "api" });
  await refused(create(all, { name: "api" }), "already_exists");
  const made = await first;
  await refused(create(all, { name: made.record.id }), "already_exists");
  const other = await create(all);
  await refused(all.update(other, { name: "api", labels: {} }), "already_exists");
  await all.update(made, { name: null, labels: { a: "1", b: "2" } });
  await all.update(made, { labels: { a: null, c: "3" }, ttlSeconds: 60 });
  assert.deepEqual([made.record.name, made.record.labels, made.record.ttl_seconds], [null, { b: "2", c: "3" }, 60]);
  await all.update(other, { name: "api", labels: {} });
  assert.equal(all.find("api"), other);
  await all.close();
});

test("workspaces: one that cannot be made leaves nothing, and its name is free", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  await refused(create(all, { name: "api", environment: "no:such" }), "not_found");
  await refused(create(all, { name: "api", machine: "firecracker" }), "host_unsupported");
  assert.deepEqual(await readdir(join(host.paths.state, "workspaces")), []);
  await create(all, { name: "api" });
  await all.close();
});

test("workspaces: one whose caller goes away leaves nothing, however late, and who wants its name waits for that", async () => {
  // While its environment is installed, and when its machine runs.
  for (const [phase, memoryMib] of [
    ["create", 2999],
    ["start", undefined],
  ] as const) {
    await using host = new FakeHost();
    const all = await host.workspaces();
    const caller = new AbortController();
    const gone = new Promise((resolve) => caller.signal.addEventListener("abort", resolve));
    const onPhase = (at: string): void => {
      if (at === phase) caller.abort(new PyroError("cancelled", "the caller went away"));
    };
    const wanted = { ...NEW_WORKSPACE, name: "api", memoryMib };
    const left = refused(all.create(wanted, { ...call, signal: caller.signal, onPhase }), "cancelled");
    await gone;
    const made = await create(all, { name: "api" });
    await left;
    assert.deepEqual(all.list(), [made]);
    assert.deepEqual(await readdir(join(host.paths.state, "workspaces")), [made.record.id]);
    assert.equal(host.machines.counts().held, 1);
    await all.close();
  }
});

test("workspaces: what was changed is known, and deleting it wants force", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await create(all, { name: "api" });
  assert.equal(await run(made, "true"), 0);
  await made.stop("asked", "it was stopped");
  assert.equal(made.record.changed, false);
  await all.start(made, call);
  assert.equal(await run(made, "touch"), 0);
  await made.stop("asked", "it was stopped");
  assert.equal(made.record.changed, true);
  await refused(all.delete("api", { force: false, purge: false }), "invalid_state");
  await all.start(made, call);
  await made.reset("baseline", call);
  assert.equal(made.record.changed, false);
  await all.delete("api", { force: false, purge: false });
  await refused(
    Promise.resolve().then(() => all.find("api")),
    "not_found",
  );
});

test("workspaces: a deleted one can be restored for a while, or is purged", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await create(all, { name: "api" });
  const { id } = made.record;
  await run(made, "touch");
  await all.delete("api", { force: true, purge: false });
  assert.equal(existsSync(placeOf(host, made)), false);
  assert.deepEqual(
    (await all.listDeleted()).map(({ name }) => name),
    ["api"],
  );
  // A later server has it too, and another one may have its name meanwhile.
  const later = await host.workspaces();
  const other = await create(later, { name: "api" });
  await refused(later.restore(id), "already_exists");
  await later.update(other, { name: null, labels: {} });
  const restored = await later.restore("api");
  assert.deepEqual([restored.record.state, restored.record.stopped?.reason], ["stopped", "restored"]);
  await later.start(restored, call);
  assert.equal(await run(restored, "true"), 0);
  await later.delete(id, { force: true, purge: false });
  await later.delete(other.record.id, { force: true, purge: true });
  const places = ["/environments/fake", `/environments/fake@${"a".repeat(16)}`];
  assert.deepEqual([...(await later.environmentsInUse())], places, "the trash needs it too");
  await later.delete(id, { force: false, purge: true });
  assert.equal((await later.environmentsInUse()).size, 0);
  assert.deepEqual(await readdir(join(host.paths.state, "trash")), []);
  await refused(later.restore(id), "not_found");
  await later.close();
});

test("workspaces: snapshots have names, and one that was not recorded is not there", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await create(all);
  const disk = diskOf(host, made);
  const snapshot = await made.snapshots.create("one");
  assert.deepEqual([snapshot.kind, snapshot.entryCount, snapshot.bytes], ["named", 2, 10]);
  await refused(made.snapshots.create("one"), "already_exists");
  await refused(made.snapshots.create("baseline"), "already_exists");
  disk.failures.set("createSnapshot", new PyroError("resource_exhausted", "no room"));
  await refused(made.snapshots.create("two"), "resource_exhausted");
  assert.deepEqual(
    made.snapshots.list().map(({ name }) => name),
    ["baseline", "one"],
  );
  await refused(made.snapshots.delete("two"), "not_found");
  await refused(made.snapshots.delete("baseline"), "invalid_argument");
  disk.snapshots.add("0000000000000000");
  await made.stop("asked", "it was stopped");
  await all.start(made, call);
  assert.equal(disk.snapshots.size, 1);
  await made.snapshots.delete("one");
  assert.equal(disk.snapshots.size, 0);
  await all.close();
});

test("workspaces: a reset is a new machine, and a wrong name is refused before anything ends", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await create(all);
  await made.snapshots.create("one");
  await run(made, "touch");
  const before = made.machine?.id;
  await refused(made.reset("two", call), "not_found");
  assert.equal(made.machine?.id, before);
  const source = await made.reset("one", call);
  assert.notEqual(made.machine?.id, before);
  assert.deepEqual(diskOf(host, made).calls.at(-1), `reset ${source.id}`);
  const { command_count: commands, reset_count: resets, pending_reset: pending } = made.record;
  assert.deepEqual([commands, resets, pending], [0, 1, null]);
  assert.deepEqual(await made.commands.logged(), []);
  await all.close();
});

test("workspaces: a reset that a crash interrupted is finished by the next start", async () => {
  await using host = new FakeHost();
  const made = await create(await host.workspaces());
  await made.snapshots.create("one");
  const path = join(placeOf(host, made), "workspace.json");
  const record = JSON.parse(await readFile(path, "utf8")) as object;
  await writeFile(path, JSON.stringify({ ...record, state: "stopped", pending_reset: "one" }));
  const later = await host.workspaces();
  const found = later.find(made.record.id);
  await refused(found.snapshots.delete("one"), "invalid_state");
  await later.start(found, call);
  assert.deepEqual(diskOf(host, made).calls, [`reset ${found.record.snapshots[0]?.id ?? ""}`]);
  await found.snapshots.delete("one");
  assert.deepEqual([found.record.pending_reset, found.record.reset_count], [null, 1]);
  await later.close();
});

test("workspaces: stopping ends commands, and says so to whoever waits for them", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await create(all);
  const polite = await exec(made, "sleep");
  await made.stop("asked", "it was stopped");
  assert.equal((await polite.outcome).signal, 15);
  await all.start(made, call);
  const stubborn = await exec(made, "stubborn");
  await Promise.all([made.stop("asked", "it was stopped"), stubborn.outcome]);
  assert.equal(made.runningCommands, 0);
  await all.close();
});

test("workspaces: a guest that does not write its volume is stopped all the same, and it is said", async () => {
  await using host = new FakeHost();
  const notices: string[] = [];
  const all = await host.workspaces((notice) => notices.push(notice));
  const made = await create(all);
  diskOf(host, made).failures.set("sync", new PyroError("guest_unreachable", "it is wedged"));
  await made.stop("asked", "it was stopped");
  assert.match(made.record.stopped?.message ?? "", /may be lost/);
  assert.equal(made.record.changed, true);
  assert.match(notices.join("\n"), /it is wedged/);
});

test("workspaces: a machine that ends on its own leaves a stopped workspace that says why", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await create(all);
  await assert.rejects(run(made, "crash"), /the VMM ended on its own/);
  // In its turn: what comes after it finds the workspace stopped.
  await refused(exec(made, "true"), "invalid_state");
  assert.deepEqual([made.record.state, made.record.stopped?.reason], ["stopped", "vmm_failed"]);
  await all.start(made, call);
  assert.equal(await run(made, "true"), 0);
  await all.close();
});

test("workspaces: a host that went down leaves them stopped, half-made ones are removed, and one bad record hurts no other", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const [good, half, torn] = [await create(all), await create(all), await create(all)];
  const rewrite = async (workspace: Workspace, text: (before: string) => string): Promise<void> => {
    const path = join(placeOf(host, workspace), "workspace.json");
    await writeFile(path, text(await readFile(path, "utf8")));
  };
  await rewrite(half, (text) => text.replace('"state": "started"', '"state": "creating"'));
  await rewrite(torn, (text) => text.slice(0, 100));
  const notices: string[] = [];
  host.machines.cut();
  const later = await host.workspaces((notice) => notices.push(notice));
  const found = later.find(good.record.id);
  assert.deepEqual([found.record.state, found.record.stopped?.reason], ["stopped", "server_ended"]);
  assert.equal(found.record.changed, true);
  assert.equal(existsSync(placeOf(host, half)), false);
  assert.deepEqual(later.unreadable, [torn.record.id]);
  assert.match(notices.join("\n"), new RegExp(torn.record.id));
  await refused(
    Promise.resolve().then(() => later.find(torn.record.id)),
    "artifact_corrupt",
  );
  assert.ok(existsSync(placeOf(host, torn)), "what cannot be read is not removed");
  await later.start(found, call);
  await later.close();
});

test("workspaces: its server's end stops them with their volumes written", async () => {
  await using host = new FakeHost();
  const server = await host.serve();
  using pyro = host.pyro();
  const made = await pyro.workspace.create({ environment: "debian:12", name: "api" });
  await pyro.workspace.exec({ workspace: "api", command: ["touch"] });
  await server.stop();
  const all = await host.workspaces();
  const { record } = all.find(made.workspace_id);
  assert.deepEqual([record.state, record.stopped?.reason, record.changed], ["stopped", "server_stopped", true]);
});

test("workspaces: turns are taken one after the other, whatever is asked at once", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await create(all);
  const outcomes = await Promise.allSettled([
    made.snapshots.create("one"),
    made.reset("one", call),
    run(made, "true"),
    made.stop("asked", "it was stopped"),
    run(made, "true"),
    all.start(made, call),
    made.snapshots.create("two"),
  ]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "fulfilled", "fulfilled", "fulfilled", "rejected", "fulfilled", "fulfilled"],
  );
  assert.deepEqual(
    made.snapshots.list().map(({ name }) => name),
    ["baseline", "one", "two"],
  );
  await all.close();
});

test("workspaces: an idle one is stopped and kept, and a running command is not idle", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await create(all, { ttlSeconds: 0.2 });
  const command = await exec(made, "sleep");
  const closed = done(host, `close ${made.machine?.id ?? ""}`);
  await assert.rejects(
    withDeadline(closed, 600, () => new PyroError("deadline_exceeded", "it goes on")),
    /it goes on/,
  );
  await command.signal(15);
  await command.outcome;
  await withDeadline(closed, 5000, () => new PyroError("deadline_exceeded", "it is not stopped"));
  // In its turn, after the stop.
  await all.update(made, { labels: {} });
  assert.deepEqual([made.record.state, made.record.stopped?.reason], ["stopped", "idle"]);
});

test("workspaces: whatever waits while one is deleted finds that it is gone", async () => {
  await using host = new FakeHost();
  const all = await host.workspaces();
  const made = await create(all, { name: "api" });
  const [deleted, started, again] = await Promise.allSettled([
    all.delete("api", { force: true, purge: false }),
    all.start(made, call),
    all.delete("api", { force: true, purge: true }),
  ]);
  assert.equal(deleted.status, "fulfilled");
  for (const late of [started, again])
    assert.ok(late.status === "rejected" && PyroError.from(late.reason).code === "not_found");
  assert.equal((await all.listDeleted()).length, 1);
  assert.deepEqual(host.machines.counts().held, 0);
});

test("workspaces: what is too old in the trash is removed, and what has no readable time is not", async () => {
  await using host = new FakeHost();
  const directory = join(host.paths.state, "trash");
  const all = await host.workspaces();
  const ids = [(await create(all)).record.id, (await create(all)).record.id];
  for (const id of ids) await all.delete(id, { force: true, purge: false });
  const path = join(directory, ids[1] ?? "", "workspace.json");
  const record = JSON.parse(await readFile(path, "utf8")) as object;
  await writeFile(path, JSON.stringify({ ...record, deleted_at: "?" }));
  const later = (days: number) => () => Date.now() + days * 86_400_000;
  assert.equal((await new Trash(directory, later(6.9)).list()).length, 2);
  assert.deepEqual(
    (await new Trash(directory, later(7.1)).list()).map(({ id }) => id),
    [ids[1]],
  );
  assert.deepEqual(await readdir(directory), [ids[1]]);
});
