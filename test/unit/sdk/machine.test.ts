import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { CLI, done, FakeHost } from "../../support/fake-host.ts";

test("a machine lives for several commands, also at once, and is gone after its block", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  const phases: string[] = [];
  {
    await using machine = await pyro.machine(
      { environment: "debian:12", vcpu_count: 2 },
      { onEvent: (event) => void (event.type === "machine" && phases.push(event.phase)) },
    );
    assert.deepEqual(
      [machine.id, machine.environment, machine.vcpuCount, machine.isolation],
      ["000000000001", "debian:12", 2, "emulated"],
    );
    const results = await Promise.all([
      machine.exec(["echo", "a"]),
      machine.exec(["echo", "b"]),
      machine.exec("ls | wc"),
    ]);
    assert.deepEqual(
      results.map(({ stdout }) => stdout),
      ["a\n", "b\n", `script ["-c","ls | wc"]\n`],
    );
    assert.equal((await machine.exec(["exit", "4"])).exit_code, 4);
    assert.deepEqual(host.machines.history, ["open 000000000001"]);
  }
  assert.deepEqual(host.machines.history, ["open 000000000001", "close 000000000001"]);
  assert.deepEqual(phases, ["create", "start"]);
});

test("closing twice is closing once, and a closed machine runs nothing", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  const machine = await pyro.machine({ environment: "debian:12" });
  await Promise.all([machine.close(), machine.close()]);
  await machine.close();
  await assert.rejects(machine.exec(["true"]), { code: "not_found" });
});

test("a command whose caller gives up is killed, and the machine stays", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  await using machine = await pyro.machine({ environment: "debian:12" });
  await assert.rejects(machine.exec(["sleep"], { signal: AbortSignal.timeout(50) }), { code: "cancelled" });
  assert.equal((await machine.exec(["true"])).exit_code, 0);
});

test("a machine that ends on its own fails its commands, with what is known", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  await using machine = await pyro.machine({ environment: "debian:12" });
  await assert.rejects(machine.exec(["crash"]), { code: "vmm_failed" });
  await done(host, "close 000000000001");
  await assert.rejects(machine.exec(["true"]), PyroError.is);
});

test("closing a machine that its server has taken along is no failure", async () => {
  await using host = new FakeHost();
  const server = await host.serve();
  using pyro = host.pyro();
  const machine = await pyro.machine({ environment: "debian:12" });
  await Promise.all([server.stop(), machine.close()]);
  const closed = await pyro.machine({ environment: "debian:12" });
  // In another process and waited for without an event loop: its end is not known here yet.
  execFileSync(process.execPath, [CLI, "server", "stop", "--force"], { env: host.env });
  await closed.close();
});

test("dropping the connection ends the machine", async () => {
  await using host = new FakeHost();
  await host.serve();
  const pyro = host.pyro();
  await pyro.machine({ environment: "debian:12" });
  pyro.close();
  await done(host, "close 000000000001");
});

/** Until the command is there, nothing takes the signal. */
async function untilTaken(send: (signal: number) => Promise<boolean>, signal: number): Promise<void> {
  if (!(await send(signal))) await untilTaken(send, signal);
}

test("signals reach a running command", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  await using machine = await pyro.machine({ environment: "debian:12" });
  const running = machine.exec(["sleep"], {
    onSignalable: (send) => void untilTaken(send, 15),
  });
  const { exit_code: code, signal } = await running;
  assert.deepEqual([code, signal], [143, 15]);
});
