/** A small disk of the host's under a workspace: no write of the guest's fails, whatever it writes. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { Collector } from "../support/guest-cases.ts";
import { client, paths, until } from "../support/guest-host.ts";

const MIB = 1024 ** 2;
const DISK_MIB = 950;
/** Leaves some room above what a start wants. */
const BALLAST_MIB = 400;
const DEADLINE_MS = 60_000;

mkdirSync(paths.state, { recursive: true, mode: 0o700 });
const directory = mkdtempSync(join(paths.state, "small-disk-"));
const isRoot = process.getuid?.() === 0;
if (isRoot) {
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MIB}m,mode=700`, "tmpfs", directory]);
  process.env["PYRO_STATE_DIR"] = join(directory, "state");
}
const pyro = client();
after(() => {
  if (isRoot) execFileSync("umount", ["--lazy", directory]);
  rmSync(directory, { recursive: true });
});

test("host disk: a machine whose disk is full is paused and goes on when there is room, and its guest sees no error", async (t) => {
  if (!isRoot) return t.skip("only root can mount a small disk");
  const { workspace_id: id } = await pyro.workspace.create({ environment: "debian:12" });
  const status = async () => await pyro.workspace.status({ workspace: id });
  const ballast = join(directory, "ballast");
  writeFileSync(ballast, Buffer.alloc(BALLAST_MIB * MIB, 1));
  const stdout = new Collector();
  const command =
    "echo begun; head -c 320M /dev/urandom > big && sync && echo written; cksum < big; dmesg | grep -c 'I/O error'";
  const running = pyro.workspace.exec({ workspace: id, command, timeout_seconds: 600 }, { stdout });
  running.catch(() => undefined);
  await stdout.seen("begun");
  await until(async () => (await status()).paused !== null, DEADLINE_MS, "it is paused");
  const { state, paused } = await status();
  assert.deepEqual([state, paused?.reason], ["started", "host_disk_full"]);
  await assert.rejects(pyro.workspace.exec({ workspace: id, command: "true" }), (error: unknown) => {
    assert.ok(PyroError.is(error) && error.code === "resource_exhausted", String(error));
    assert.match(error.message, /host_disk_full/);
    return true;
  });
  await assert.rejects(pyro.workspace.create({ environment: "debian:12" }), { code: "resource_exhausted" });
  rmSync(ballast);
  const { exit_code: code, timed_out: timedOut } = await running;
  assert.deepEqual([code, timedOut], [1, false], stdout.bytes.toString());
  const [, written, sum, errors] = stdout.bytes.toString().split("\n");
  assert.deepEqual([written, errors], ["written", "0"]);
  assert.equal((await status()).paused, null);
  await pyro.workspace.stop({ workspace: id });
  await pyro.workspace.start({ workspace: id });
  const again = await pyro.workspace.exec({ workspace: id, command: "cksum < big" });
  assert.equal(again.stdout, `${sum}\n`);
  // Full again, and deleted: that makes room.
  writeFileSync(ballast, Buffer.alloc(BALLAST_MIB * MIB, 1));
  await until(async () => (await status()).paused !== null, DEADLINE_MS, "it is paused again");
  await pyro.workspace.delete({ workspace: id, force: true, purge: true });
  const next = await pyro.workspace.create({ environment: "debian:12" });
  await pyro.workspace.delete({ workspace: next.workspace_id, purge: true });
  rmSync(ballast);
});

/** What is there of seeds. */
const seeds = (): string[] => {
  const place = join(directory, "state", "seeds");
  return existsSync(place) ? readdirSync(place).filter((name) => name !== "sources") : [];
};

test("host disk: a seed that fills it is given up, which is said, and leaves nothing", async (t) => {
  if (!isRoot) return t.skip("only root can mount a small disk");
  const source = mkdtempSync(join(tmpdir(), "pyro-source-"));
  const ballast = join(directory, "ballast");
  try {
    for (let number = 0; number < 150; number += 1) writeFileSync(join(source, `f${number}`), randomBytes(MIB));
    const create = async (): Promise<string> =>
      (await pyro.workspace.create({ environment: "debian:12", seed_path: source })).workspace_id;
    const making = create();
    making.catch(() => undefined);
    const isFilled = (): boolean =>
      seeds().some((name) => existsSync(join(directory, "state", "seeds", name, "seed.raw")));
    await Promise.race([making, until(isFilled, DEADLINE_MS, "a machine fills it")]);
    // To the last byte: what the machine writes next finds no room.
    spawnSync("dd", ["if=/dev/zero", `of=${ballast}`, "bs=1M"], { stdio: "ignore" });
    await assert.rejects(making, (error: unknown) => {
      assert.ok(PyroError.is(error) && error.code === "resource_exhausted", String(error));
      assert.match(error.message, /too little to go on with the seed/);
      return true;
    });
    assert.deepEqual(seeds(), []);
    rmSync(ballast);
    const id = await create();
    await pyro.workspace.delete({ workspace: id, force: true, purge: true });
  } finally {
    rmSync(source, { recursive: true });
  }
});
