/** What goes wrong around a guest: named, cleaned up, and the next call works. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, open, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { templatesDirectory } from "../../src/host/paths.ts";
import { Collector } from "../support/guest-cases.ts";
import { client, machineDirectories, paths, pyro as cli, until, vmmPids } from "../support/guest-host.ts";

const ENVIRONMENT = "debian:12";
const pyro = client();

const echo = async (): Promise<string> =>
  (await pyro.run({ environment: ENVIRONMENT, command: ["echo", "works"] })).stdout;

/** The machines of this suite that somebody holds, without those kept ready. */
const heldMachines = async (): Promise<number> => (await pyro.server.status()).machines;

test("faults: a VMM killed mid-command is named, with what it last said, and nothing is left", async () => {
  const machine = await pyro.machine({ environment: ENVIRONMENT });
  const stdout = new Collector();
  const running = machine.exec("echo started; sleep 300", { stdout, timeout_seconds: 600 });
  await stdout.seen("started");
  const pid = (await machinePid(machine.id)) ?? assert.fail("the machine has no VMM");
  process.kill(pid, "SIGKILL");
  await assert.rejects(running, (error: unknown) => {
    assert.ok(PyroError.is(error), String(error));
    assert.equal(error.code, "vmm_failed");
    assert.match(error.message, /SIGKILL/);
    return true;
  });
  await until(() => !machineDirectories().includes(machine.id), 5000, "the machine's directory is removed");
  assert.equal(await echo(), "works\n");
});

test("faults: a template with a cut memory file is made again, and the command runs once", async () => {
  await pyro.server.stop({ force: true });
  for (const memory of await templateFiles("memory")) await truncate(memory, 4096);
  assert.equal(await echo(), "works\n");
});

test("faults: an altered device state is found before it is loaded", async () => {
  await pyro.server.stop({ force: true });
  for (const state of await templateFiles("state")) await flipByte(state, 1000);
  assert.equal(await echo(), "works\n");
});

test("faults: an unreadable template record is made again", async () => {
  await pyro.server.stop({ force: true });
  for (const record of await templateFiles("template.json")) await writeFile(record, "{");
  assert.equal(await echo(), "works\n");
});

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

test("faults: a QEMU that refuses to start is named with its own words", async () => {
  const fake = join(paths.state, "refusing-qemu");
  await writeFile(
    fake,
    '#!/bin/sh\n[ "$1" = --version ] && { echo "QEMU emulator version 8.0.0"; exit 0; }\necho "qemu: no luck today" >&2\nexit 1\n',
  );
  await chmod(fake, 0o755);
  await pyro.server.stop({ force: true });
  try {
    process.env["PYRO_QEMU"] = fake;
    const { code, stdout } = cli("run", ENVIRONMENT, "--json", "--", "true");
    assert.equal(code, 125);
    const { error } = JSON.parse(stdout) as { error: { code: string; evidence: { vmm_log: string } } };
    assert.equal(error.code, "vmm_failed");
    assert.match(error.evidence.vmm_log, /no luck today/);
  } finally {
    delete process.env["PYRO_QEMU"];
    await pyro.server.stop({ force: true });
    await rm(fake);
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
  const { ready_machines: ready } = await pyro.server.status();
  await until(() => machineDirectories().length <= ready, 5000, "directories of cancelled machines are removed");
});

async function machinePid(id: string): Promise<number | undefined> {
  const record = await readFile(join(paths.runtime, "m", id, "machine.json"), "utf8");
  return (JSON.parse(record) as { process?: { pid: number } }).process?.pid;
}

async function templateFiles(name: string): Promise<string[]> {
  const directory = templatesDirectory(paths);
  const templates = (await readdir(directory)).filter((entry) => !entry.startsWith("."));
  assert.ok(templates.length > 0, "there is a template to damage");
  return templates.map((template) => join(directory, template, name)).filter((path) => existsSync(path));
}

async function readByte(path: string, position: number): Promise<number> {
  const file = await open(path, "r");
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, position);
  await file.close();
  return buffer[0] ?? 0;
}

async function writeByte(path: string, position: number, value: number): Promise<void> {
  const file = await open(path, "r+");
  await file.write(Buffer.of(value), 0, 1, position);
  await file.close();
}

async function flipByte(path: string, position: number): Promise<void> {
  const { mode } = await stat(path);
  await chmod(path, 0o600);
  await writeByte(path, position, (await readByte(path, position)) ^ 0xff);
  await chmod(path, mode & 0o777);
}
