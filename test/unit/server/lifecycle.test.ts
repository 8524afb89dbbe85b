import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { machineRuntimeDirectory, serverSocketPath } from "../../../src/host/paths.ts";
import { identifyProcess } from "../../../src/host/process-identity.ts";
import { done, FakeHost, said } from "../../support/fake-host.ts";

test("eight clients that find no server start one, and all are answered", async () => {
  await using host = new FakeHost();
  const clients = Array.from({ length: 8 }, () => host.pyro());
  const results = await Promise.all(
    clients.map(async (pyro, index) => await pyro.run({ environment: "debian:12", command: ["echo", String(index)] })),
  );
  assert.deepEqual(
    results.map(({ stdout }) => stdout),
    clients.map((_, index) => `${index}\n`),
  );
  assert.equal(host.history().filter((line) => line.startsWith("server ")).length, 1);
  for (const pyro of clients) pyro.close();
});

test("a server with nothing to do ends, and its ready machines with it; the next call starts another", async () => {
  await using host = new FakeHost();
  const server = await host.serve({ idleMs: 50 });
  using pyro = host.pyro();
  await pyro.env.list();
  await server.ended;
  assert.equal(existsSync(serverSocketPath(host.paths)), false);
  assert.equal(host.machines.history.at(-1), "closed all");
  assert.equal((await pyro.server.status()).running, false);
  assert.equal((await pyro.run({ environment: "debian:12", command: ["true"] })).exit_code, 0);
});

test("a machine that somebody holds keeps the server, also when no call has said a word for long", async () => {
  await using host = new FakeHost();
  const server = await host.serve({ idleMs: 50 });
  using pyro = host.pyro();
  let ended = false;
  void server.ended.then(() => (ended = true));
  {
    await using machine = await pyro.machine({ environment: "debian:12" });
    // Four idle times, counted by what takes time in the server itself.
    await assert.rejects(machine.exec(["sleep"], { signal: AbortSignal.timeout(200) }), { code: "cancelled" });
    assert.equal(ended, false);
    assert.equal((await machine.exec(["true"])).exit_code, 0);
  }
  await server.ended;
});

test("status starts no server, and stop says when there was none", async () => {
  await using host = new FakeHost();
  using pyro = host.pyro();
  const status = await pyro.server.status();
  assert.deepEqual(
    { ...status, socket: "", log: "" },
    { running: false, version: null, pid: null, started_at: null, socket: "", log: "", machines: 0, ready_machines: 0 },
  );
  assert.deepEqual(await pyro.server.stop(), { stopped: false, pid: null });
  assert.equal(existsSync(host.paths.runtime), false);
});

test("stop is also for machines that a killed server has left: another one is started for that", async () => {
  await using host = new FakeHost();
  using pyro = host.pyro();
  await pyro.env.list();
  const { pid } = await pyro.server.status();
  mkdirSync(machineRuntimeDirectory(host.paths, "0123456789ab"), { recursive: true, mode: 0o700 });
  process.kill(pid ?? 0, "SIGKILL");
  const stopped = await pyro.server.stop();
  assert.equal(stopped.stopped, true);
  assert.notEqual(stopped.pid, pid);
  assert.equal(host.history().filter((line) => line.startsWith("server ")).length, 2);
  assert.equal(host.history().at(-1), "closed all");
});

test("stop waits for the end of the process; a busy server is only stopped by force", async () => {
  await using host = new FakeHost();
  using pyro = host.pyro();
  await pyro.env.list();
  const { pid } = await pyro.server.status();
  const call = pyro.run({ environment: "debian:12", command: ["sleep"] }, { onEvent: () => undefined });
  const outcome = call.then(
    () => "finished",
    (failure: { code: string; message: string }) => `${failure.code}: ${failure.message}`,
  );
  await pyro.run({ environment: "debian:12", command: ["true"] });
  await assert.rejects(pyro.server.stop(), { code: "invalid_state" });
  assert.deepEqual(await pyro.server.stop({ force: true }), { stopped: true, pid });
  assert.equal(identifyProcess(pid ?? 0), undefined);
  assert.equal(await outcome, "server_unavailable: the pyro server was stopped");
  assert.equal(host.history().at(-1), "closed all");
});

test("a server that is killed in the middle of a call: a typed error, and the next call starts a new one", async () => {
  await using host = new FakeHost();
  using pyro = host.pyro();
  await pyro.env.list();
  const { pid } = await pyro.server.status();
  const call = pyro.run(
    { environment: "debian:12", command: ["sleep"] },
    {
      onEvent: (event) =>
        void (event.type === "machine" && event.phase === "execute" && process.kill(pid ?? 0, "SIGKILL")),
    },
  );
  await assert.rejects(call, (failure: { code: string; message: string }) => {
    assert.equal(failure.code, "server_unavailable");
    assert.match(failure.message, /unknown/);
    return true;
  });
  const result = await pyro.run({ environment: "debian:12", command: ["git", "--version"] });
  assert.equal(result.stdout, "git version 2.39.5\n");
  assert.notEqual((await pyro.server.status()).pid, pid);
  assert.equal(
    host.history().filter((line) => line.startsWith("open ")).length,
    2,
    "the command did not run again by itself",
  );
});

test("SIGTERM ends the server cleanly, and the next call waits for its end and starts another", async () => {
  await using host = new FakeHost();
  using pyro = host.pyro();
  await pyro.env.list();
  const { pid } = await pyro.server.status();
  const machine = await pyro.machine({ environment: "debian:12" });
  process.kill(pid ?? 0, "SIGTERM");
  await assert.rejects(machine.exec(["sleep"]), { code: "server_unavailable" });
  await assert.rejects(machine.exec(["true"]), { code: "server_unavailable" });
  assert.ok(host.history().includes("close 000000000001"));
  await pyro.env.list();
  assert.notEqual((await pyro.server.status()).pid, pid);
  assert.equal(identifyProcess(pid ?? 0), undefined);
});

test("a client that is killed takes its machine along", async () => {
  await using host = new FakeHost();
  await host.serve();
  const client = host.start(["run", "debian:12", "--", "sleep"]);
  await said(client.stdout, "sleeping");
  const killed = performance.now();
  client.kill("SIGKILL");
  await done(host, "close 000000000001");
  assert.ok(performance.now() - killed < 2000);
});

test("a client that is killed while its environment is being installed cancels that", async () => {
  await using host = new FakeHost();
  await host.serve();
  const client = host.start(["run", "debian:12", "--mem-mib", "2999", "--", "true"]);
  await said(client.stderr, "phase=packages");
  client.kill("SIGKILL");
  await done(host, "pull cancelled");
});

test("the server gets none of its starter's secrets and is no part of its session", async () => {
  await using host = new FakeHost();
  using pyro = host.pyro({ AWS_SECRET_ACCESS_KEY: "hunter2", HTTPS_PROXY: "http://proxy:1" });
  await pyro.env.list();
  const { pid } = await pyro.server.status();
  const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  assert.ok(environment.includes("HTTPS_PROXY=http://proxy:1"));
  assert.equal(
    environment.some((entry) => entry.includes("hunter2")),
    false,
  );
  const session = (of: number | null): string | undefined => readFileSync(`/proc/${of}/stat`, "utf8").split(" ")[5];
  assert.notEqual(session(pid), session(process.pid));
});

test("a program that has used the SDK ends by itself", async () => {
  await using host = new FakeHost();
  await host.serve();
  const client = host.start(["env", "list"]);
  const [status] = (await once(client, "exit")) as [number];
  assert.equal(status, 0);
});
