/** What a server that crashed left is ended by the next one, and nothing else is. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, openSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { hostPaths, machineRuntimeDirectory } from "../../../src/host/paths.ts";
import { identifyProcess, isAlive, type ProcessIdentity, signalProcess } from "../../../src/host/process-identity.ts";
import {
  endLeftoverMachines,
  keptRecord,
  type Leftovers,
  writeMachineRecord,
} from "../../../src/machine/machine-directory.ts";

const directory = await mkdtemp(join(tmpdir(), "pyro-leftovers-"));
await mkdir(join(directory, "real"));
// A runtime directory behind a link: the kernel names processes' files by the real path.
await symlink("real", join(directory, "run"));
const paths = hostPaths({ PYRO_RUNTIME_DIR: join(directory, "run"), HOME: directory });
const children: ChildProcess[] = [];
after(async () => {
  for (const child of children) child.kill("SIGKILL");
  await rm(directory, { recursive: true });
});

const leftovers = (claimed: readonly string[] = []): Leftovers => ({
  claimed: new Set(claimed),
  end: async (monitor) => {
    signalProcess(monitor, "SIGKILL");
    await Promise.resolve();
  },
  onNotice: (notice) => assert.fail(notice),
});
const end = async (...claimed: string[]): Promise<string[]> => await endLeftoverMachines(paths, leftovers(claimed));

async function machineDirectory(id: string): Promise<string> {
  const path = machineRuntimeDirectory(paths, id);
  await mkdir(path, { recursive: true });
  return path;
}

/** A process that stands for a VMM: it runs in `cwd` and writes to `log`. */
function standIn(cwd: string, log: string): { identity: ProcessIdentity; exit: Promise<unknown> } {
  const child = spawn("sleep", ["60"], { cwd, stdio: ["ignore", openSync(log, "a"), "ignore"] });
  children.push(child);
  const identity = identifyProcess(child.pid ?? 0) ?? assert.fail("sleep did not start");
  return { identity, exit: once(child, "exit") };
}

const record = (id: string, process: ProcessIdentity) => ({
  version: 1 as const,
  id,
  environment: "debian:12",
  install_dir: "/e",
  created_at: "2026-01-01T00:00:00Z",
  process,
});

test("leftovers: a recorded VMM is ended and its directory removed", async () => {
  const path = await machineDirectory("recorded");
  const { identity, exit } = standIn(directory, "/dev/null");
  writeMachineRecord(path, record("recorded", identity));
  assert.deepEqual(await end(), ["recorded"]);
  assert.deepEqual(await exit, [null, "SIGKILL"]);
  assert.equal(existsSync(path), false);
});

const KEPT = {
  machineName: "qemu-tcg",
  installDir: "/e",
  environment: "debian:12",
  environmentVersion: "1.0.0",
  environmentDigest: "a".repeat(64),
  shape: { vcpuCount: 1, memoryMib: 512 },
  executionMode: "guest_serial",
  isolation: "emulated",
  confinement: "full",
} as const;

test("leftovers: what a workspace claims goes on, as does what belongs to another state directory; the rest is ended", async () => {
  const states = { mine: paths, unclaimed: paths, foreign: { ...paths, state: "/elsewhere" } };
  const exits = new Map<string, Promise<unknown>>();
  const identities = new Map<string, ProcessIdentity>();
  for (const [id, of] of Object.entries(states)) {
    const path = await machineDirectory(id);
    const { identity, exit } = standIn(directory, "/dev/null");
    writeMachineRecord(path, { ...record(id, identity), kept: keptRecord(of, "/volume", KEPT) });
    identities.set(id, identity);
    exits.set(id, exit);
  }
  assert.deepEqual(await end("mine"), ["unclaimed"]);
  assert.deepEqual(await exits.get("unclaimed"), [null, "SIGKILL"]);
  for (const id of ["mine", "foreign"]) {
    assert.ok(isAlive(identities.get(id) ?? assert.fail()) && existsSync(machineRuntimeDirectory(paths, id)), id);
    signalProcess(identities.get(id) ?? assert.fail(), "SIGKILL");
    await exits.get(id);
  }
  // One that is claimed and dead is no more than what it left.
  assert.deepEqual((await end("mine")).toSorted(), ["foreign", "mine"]);
});

test("leftovers: a process that has the recorded pid by now is somebody else's", async () => {
  const path = await machineDirectory("reused");
  const { identity } = standIn(directory, "/dev/null");
  writeMachineRecord(path, record("reused", { ...identity, startTicks: identity.startTicks - 1 }));
  await end();
  assert.ok(isAlive(identity));
  assert.equal(existsSync(path), false);
});

test("leftovers: without a record, or with a broken one, the VMM is known by its log; a shell standing there is not it", async () => {
  for (const [id, text] of [
    ["none", undefined],
    ["broken", "{"],
  ] as const) {
    const path = await machineDirectory(id);
    if (text !== undefined) await writeFile(join(path, "machine.json"), text);
    const vmm = standIn(path, join(path, "vmm.log"));
    const shell = standIn(path, "/dev/null");
    await end();
    assert.deepEqual(await vmm.exit, [null, "SIGKILL"]);
    assert.ok(isAlive(shell.identity));
    assert.equal(existsSync(path), false);
  }
});

test("leftovers: where no server has been there is nothing to end", async () => {
  assert.deepEqual(
    await endLeftoverMachines(hostPaths({ PYRO_RUNTIME_DIR: join(directory, "new"), HOME: directory }), leftovers()),
    [],
  );
});
