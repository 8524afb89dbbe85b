/** Contents are moved and not buffered: what goes in and out is a multiple of the memory that anybody takes for it, 4 GiB of it in `npm run soak`. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CaseWorkspace } from "../support/case-workspace.ts";
import { client, until } from "../support/guest-host.ts";
import { childrenOf } from "../support/host-children.ts";
import { soaking } from "../support/random-kills.ts";

const MIB = 1024 ** 2;
const CONTENT_BYTES = (soaking ? 4096 : 256) * MIB;
/** A file of this size that has so much in each part of it. */
const SPARSE = { bytes: 4096 * MIB, partBytes: 512 * MIB, dataBytes: MIB };
/** At most a quarter of the content. The server's is beside what it has before, which is Node's. */
const MAX_BYTES = { server: (soaking ? 128 : 64) * MIB, agent: 48 * MIB, seed: 16 * MIB };

const DEADLINE_MS = 1_800_000;

const pyro = client();
const host = mkdtempSync(join(tmpdir(), "pyro-large-"));
const at = (...names: string[]): string => join(host, ...names);
after(() => execFileSync("rm", ["-rf", host]));

function writeSparse(path: string): void {
  const file = openSync(path, "w");
  const data = Buffer.alloc(SPARSE.dataBytes, "data");
  for (let position = 0; position < SPARSE.bytes; position += SPARSE.partBytes)
    writeSync(file, data, 0, data.length, position);
  ftruncateSync(file, SPARSE.bytes);
  closeSync(file);
}

function dataAt(path: string, position: number): Buffer {
  const file = openSync(path, "r");
  const data = Buffer.alloc(SPARSE.dataBytes);
  assert.equal(readSync(file, data, 0, data.length, position), data.length);
  closeSync(file);
  return data;
}

/** Of the memory that a process has in use (proc_pid_status(5)). */
const memory = (status: string, field: "VmHWM" | "VmRSS"): number =>
  1024 * Number(new RegExp(`^${field}:\\s*(\\d+) kB$`, "m").exec(status)?.[1] ?? assert.fail(status));
const statusOf = (pid: number): string => readFileSync(`/proc/${pid}/status`, "utf8");

/** The most that the server took beyond what it had, and that its pyro-seed took. */
async function peaksDuring(work: () => Promise<unknown>): Promise<{ server: number; seed: number }> {
  const { pid } = await pyro.server.status();
  const server = pid ?? assert.fail("there is no server");
  // The peak is from here on (proc(5), clear_refs).
  writeFileSync(`/proc/${server}/clear_refs`, "5");
  const before = memory(statusOf(server), "VmRSS");
  let [seed, isOver] = [0, false];
  const working = work().finally(() => (isOver = true));
  working.catch(() => undefined);
  const look = (): boolean => {
    try {
      for (const child of childrenOf(server, "pyro-seed")) seed = Math.max(seed, memory(statusOf(child), "VmHWM"));
    } catch {
      // It ended while it was looked at.
    }
    return isOver;
  };
  await until(look, DEADLINE_MS, "it is moved");
  await working;
  return { server: memory(statusOf(server), "VmHWM") - before, seed };
}

test("large files: contents go in and out in memory that is a part of them, sparse ones too", async (t) => {
  execFileSync("sh", ["-c", `mkdir full sparse; head -c ${CONTENT_BYTES} /dev/urandom > full/file`], { cwd: host });
  writeSparse(at("sparse", "file"));
  const { workspace_id: id } = await pyro.workspace.create({ environment: "debian:12" });
  const it = new CaseWorkspace(pyro, id, host);
  const moves = {
    "push full": async () => await pyro.workspace.sync.push({ workspace: id, source_path: at("full"), dest: "full" }),
    "export full": async () =>
      await pyro.workspace.export({ workspace: id, path: ["full"], output_path: at("full-out") }),
    "push sparse": async () =>
      await pyro.workspace.sync.push({ workspace: id, source_path: at("sparse"), dest: "sparse" }),
    "export sparse": async () =>
      await pyro.workspace.export({ workspace: id, path: ["sparse"], output_path: at("sparse-out") }),
  };
  for (const [name, move] of Object.entries(moves)) {
    const begin = performance.now();
    const { server, seed } = await peaksDuring(move);
    const agent = memory(await it.sh("cat /proc/1/status"), "VmHWM");
    const ms = Math.round(performance.now() - begin);
    t.diagnostic(`${name}: ${ms} ms; MiB: server +${server / MIB}, agent ${agent / MIB}, pyro-seed ${seed / MIB}`);
    assert.ok(server < MAX_BYTES.server && agent < MAX_BYTES.agent, name);
    assert.ok(seed > 0 && seed < MAX_BYTES.seed, name);
  }
  execFileSync("cmp", [at("full", "file"), at("full-out", "file")]);
  const [wanted, came] = [at("sparse", "file"), at("sparse-out", "file")];
  assert.equal(statSync(came).size, SPARSE.bytes);
  // No room for more than the data: all else is a hole.
  assert.ok(statSync(came).blocks <= statSync(wanted).blocks);
  for (let position = 0; position < SPARSE.bytes; position += SPARSE.partBytes)
    assert.ok(dataAt(came, position).equals(dataAt(wanted, position)), `at ${position}`);
  await pyro.workspace.delete({ workspace: id, force: true, purge: true });
});
