/** What goes wrong around a guest: named, cleaned up, and the next call works. */
import assert from "node:assert/strict";
import { copyFile, mkdir, open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { identifyProcess, isAlive } from "../../src/host/process-identity.ts";
import { findQemu } from "../../src/vmm/qemu/version.ts";
import { CLIENT_CASES, flipByte, machinePid, readByte, writeByte } from "../support/client-cases.ts";
import { Collector } from "../support/guest-cases.ts";
import { client, machineDirectories, paths, pyro as cli, until, vmmPids } from "../support/guest-host.ts";

const ENVIRONMENT = "debian:12";
const pyro = client();

const echo = async (): Promise<string> =>
  (await pyro.run({ environment: ENVIRONMENT, command: ["echo", "works"] })).stdout;

/** The machines of this suite that somebody holds, without those kept ready. */
const heldMachines = async (): Promise<number> => (await pyro.server.status()).machines;

for (const { name, run } of CLIENT_CASES) {
  test(`client: ${name}`, async () => await run({ pyro, memory: {} }));
}

test("faults: kill -9 of the server ends its machines when the next one starts", async () => {
  const machine = await pyro.machine({ environment: ENVIRONMENT });
  const running = machine.exec(["sleep", "300"], { timeout_seconds: 600 });
  running.catch(() => undefined);
  const { pid } = await pyro.server.status();
  assert.ok(pid !== null);
  process.kill(pid, "SIGKILL");
  await assert.rejects(running, { code: "server_unavailable" });
  assert.equal(await echo(), "works\n");
  assert.ok(!machineDirectories().includes(machine.id));
  const ready = (await pyro.server.status()).ready_machines;
  assert.ok(vmmPids().length <= ready + 1, "no VMM of the old server is left");
});

test("faults: stopping the server ends the machines that a killed one has left, those of workspaces only by force", async () => {
  const { workspace_id: workspace, vm_id: id } = await pyro.workspace.create({
    environment: ENVIRONMENT,
    mem_mib: 512,
  });
  await pyro.workspace.exec({ workspace, command: "echo kept > file" });
  const oneShot = await pyro.machine({ environment: ENVIRONMENT, mem_mib: 512 });
  const killServer = async (): Promise<void> => {
    const server = identifyProcess((await pyro.server.status()).pid ?? 0) ?? assert.fail("there is no server");
    process.kill(server.pid, "SIGKILL");
    await until(() => !isAlive(server), 5000, "the server has ended");
  };
  await killServer();
  assert.deepEqual(machineDirectories().includes(oneShot.id), true, "its machines are still there");
  await assert.rejects(pyro.server.stop(), { code: "invalid_state", message: /machines=1/ });
  assert.deepEqual(machineDirectories(), [id]);
  await killServer();
  assert.equal((await pyro.server.stop({ force: true })).stopped, true);
  assert.deepEqual([machineDirectories(), vmmPids()], [[], []]);
  const { state, stopped } = await pyro.workspace.status({ workspace });
  assert.deepEqual([state, stopped?.reason], ["stopped", "server_stopped"]);
  await pyro.workspace.start({ workspace });
  assert.equal((await pyro.workspace.exec({ workspace, command: "cat file" })).stdout, "kept\n");
  await pyro.workspace.delete({ workspace, force: true, purge: true });
});

test("faults: a machine that hears no server ends itself, a workspace's when nothing has run in it for its time to live", async () => {
  const oneShot = await pyro.machine({ environment: ENVIRONMENT, mem_mib: 512 });
  const idle = await pyro.workspace.create({ environment: ENVIRONMENT, mem_mib: 512, ttl_seconds: 60 });
  const busy = await pyro.workspace.create({ environment: ENVIRONMENT, mem_mib: 512, ttl_seconds: 60 });
  await pyro.workspace.exec({ workspace: idle.workspace_id, command: "echo kept > file" });
  const stdout = new Collector();
  const command = "echo begun; sleep 600";
  const running = pyro.workspace.exec({ workspace: busy.workspace_id, command, timeout_seconds: 900 }, { stdout });
  running.catch(() => undefined);
  await stdout.seen("begun");
  const { pid } = await pyro.server.status();
  process.kill(pid ?? assert.fail("there is no server"), "SIGKILL");
  const start = performance.now();
  const lives = await Promise.all(
    [oneShot.id, idle.vm_id, busy.vm_id].map(async (id) => {
      const monitor = identifyProcess((await machinePid(id ?? "")) ?? 0) ?? assert.fail(`${id} does not run`);
      return () => isAlive(monitor);
    }),
  );
  await until(() => lives.filter((isThere) => isThere()).length === 1, 120_000, "the machines end themselves");
  const seconds = (performance.now() - start) / 1000;
  assert.ok(seconds > 55, `they were alone for ${seconds} s`);
  assert.equal(lives[2]?.(), true, "one in which a command runs goes on");
  const found = await pyro.workspace.status({ workspace: idle.workspace_id });
  assert.deepEqual([found.state, found.stopped?.reason], ["stopped", "server_ended"]);
  assert.equal((await pyro.workspace.status({ workspace: busy.workspace_id })).vm_id, busy.vm_id);
  await pyro.workspace.start({ workspace: idle.workspace_id });
  const { stdout: kept } = await pyro.workspace.exec({ workspace: idle.workspace_id, command: "cat file" });
  assert.equal(kept, "kept\n");
  for (const { workspace_id: workspace } of [idle, busy]) {
    await pyro.workspace.delete({ workspace, force: true, purge: true });
  }
});

test("faults: a QEMU that refuses to start is named with its own words", async () => {
  // The real one, elsewhere: it looks for its modules and firmware beside itself, and they are not there.
  const prefix = join(paths.state, "refusing-qemu");
  const fake = join(prefix, "bin", "qemu-system-x86_64");
  await mkdir(join(prefix, "share", "qemu"), { recursive: true });
  await mkdir(join(prefix, "bin"));
  await copyFile((await findQemu()).path, fake);
  await pyro.server.stop({ force: true });
  try {
    process.env["PYRO_QEMU"] = fake;
    const { code, stdout } = cli("run", ENVIRONMENT, "--json", "--", "true");
    assert.equal(code, 125);
    const { error } = JSON.parse(stdout) as { error: { code: string; evidence: { vmm_log: string } } };
    assert.equal(error.code, "vmm_failed");
    assert.match(error.evidence.vmm_log, /could not load/);
  } finally {
    delete process.env["PYRO_QEMU"];
    await pyro.server.stop({ force: true });
    await rm(prefix, { recursive: true });
  }
  assert.equal(await echo(), "works\n");
});

test("faults: an altered root file system is found, named and refused", async () => {
  const details = await pyro.env.inspect({ environment: ENVIRONMENT });
  const image = details.rootfs_image ?? assert.fail("not installed");
  const original = await readByte(image, 100_000);
  const { atime, mtime } = await stat(image);
  await flipByte(image, 100_000);
  try {
    await assert.rejects(pyro.env.inspect({ environment: ENVIRONMENT, verify: true }), (error: unknown) => {
      assert.ok(PyroError.is(error));
      assert.equal(error.code, "artifact_corrupt");
      assert.match(error.message, /rootfs/);
      return true;
    });
  } finally {
    await writeByte(image, 100_000, original);
    const file = await open(image, "r+");
    await file.utimes(atime, mtime);
    await file.close();
  }
  await pyro.env.inspect({ environment: ENVIRONMENT, verify: true });
});

test("faults: twenty runs at once all answer", async () => {
  const results = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      return await pyro.run({
        environment: ENVIRONMENT,
        command: ["echo", String(index)],
        mem_mib: 256,
        timeout_seconds: 300,
      });
    }),
  );
  assert.deepEqual(
    results.map(({ stdout }) => Number(stdout)),
    Array.from({ length: 20 }, (_, index) => index),
  );
  assert.equal(await heldMachines(), 0);
});

test("faults: cancelling a run at any moment leaves no machine", async () => {
  for (const afterMs of [0, 20, 60, 120, 200, 300, 450, 700]) {
    const controller = new AbortController();
    const running = pyro.run(
      { environment: ENVIRONMENT, command: ["sleep", "60"], mem_mib: 512 },
      { signal: controller.signal },
    );
    setTimeout(() => controller.abort(), afterMs);
    await assert.rejects(running, { code: "cancelled" });
  }
  await until(async () => (await heldMachines()) === 0, 5000, "no cancelled machine is held");
  // One that is being made ready has a directory before it counts.
  const isClean = async (): Promise<boolean> =>
    machineDirectories().length <= (await pyro.server.status()).ready_machines;
  await until(isClean, 20_000, "directories of cancelled machines are removed");
});
