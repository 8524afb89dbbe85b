import assert from "node:assert/strict";
import { mkdir, mkdtemp, realpath, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Scope } from "../../../src/host/scope.ts";
import { FakeHost } from "../../support/fake-host.ts";

const CREATE = ["workspace", "create", "debian:12"];

async function created(host: FakeHost, ...flags: string[]): Promise<string> {
  const { stdout, stderr } = await host.cli([...CREATE, "--id-only", ...flags]);
  assert.match(stdout, /^[0-9a-f]{12}\n$/, stderr);
  return stdout.trim();
}

test("workspace: create, exec, snapshot and reset print the lines of the transcript", async () => {
  await using host = new FakeHost();
  await host.serve();
  const { stdout } = await host.cli(CREATE);
  const id = /^Workspace ID: (.+)$/m.exec(stdout)?.[1] ?? assert.fail(stdout);
  assert.equal(
    stdout,
    [
      `Workspace ID: ${id}`,
      "Environment: debian:12",
      "State: started",
      "Workspace: /workspace",
      "Workspace seed: empty",
      "Execution mode: guest_serial",
      "Resources: 1 vCPU / 1024 MiB",
      "Command count: 0",
      "",
    ].join("\n"),
  );
  const exec = await host.cli(["workspace", "exec", id, "--", "echo", "hello"]);
  assert.equal(exec.stdout, "hello\n");
  assert.match(
    exec.stderr,
    new RegExp(
      `^\\[workspace-exec\\] workspace_id=${id} sequence=1 cwd=/workspace execution_mode=guest_serial exit_code=0 duration_ms=\\d+\\n$`,
    ),
  );
  const kept = await host.cli(["workspace", "snapshot", "create", id, "checkpoint"]);
  assert.equal(
    kept.stdout,
    "[workspace-snapshot-create] snapshot_name=checkpoint kind=named entry_count=2 bytes_written=10\n",
  );
  const listed = await host.cli(["workspace", "snapshot", "list", id]);
  assert.equal(
    listed.stdout,
    "baseline [baseline] entry_count=0 bytes_written=0 deletable=no\ncheckpoint [named] entry_count=2 bytes_written=10 deletable=yes\n",
  );
  assert.match((await host.cli(["ws", "status", id])).stdout, /^Snapshots: 1\nPinned by checkpoint: 4\.0 KiB\n/m);
  await host.cli(["ws", "stop", id]);
  const stopped = await host.cli(["ws", "status", id]);
  assert.match(stopped.stdout, /^Pinned by checkpoint: 4\.0 KiB when it was stopped$/m);
  await host.cli(["ws", "start", id]);
  const reset = await host.cli(["workspace", "reset", id, "--snapshot", "checkpoint"]);
  assert.equal(
    reset.stdout,
    [
      "Workspace reset from snapshot: checkpoint (named)",
      "[workspace-reset] destination=/workspace entry_count=2 bytes_written=10",
      `Workspace ID: ${id}`,
      "State: started",
      "Command count: 0",
      "Reset count: 1",
      "",
    ].join("\n"),
  );
  const gone = await host.cli(["workspace", "snapshot", "delete", id, "checkpoint"]);
  assert.equal(gone.stdout, "Deleted workspace snapshot: checkpoint\n");
});

test("workspace: exec passes bytes and the exit status through, and what ran is in the logs", async () => {
  await using host = new FakeHost();
  await host.serve();
  await created(host, "--name", "api");
  assert.equal((await host.cli(["ws", "exec", "api", "--", "exit", "7"])).status, 7);
  assert.equal((await host.cli(["ws", "exec", "api", "-q", "--", "cat"], { input: "in\n" })).stdout, "in\n");
  const json = await host.cli(["ws", "exec", "api", "--json", "--", "echo", "one"]);
  const { sequence, stdout, workspace_id: id } = JSON.parse(json.stdout) as Record<string, unknown>;
  assert.deepEqual([sequence, stdout], [3, "one\n"]);
  const logs = await host.cli(["workspace", "logs", "api"]);
  assert.match(
    logs.stdout,
    /^#1 exit_code=7 duration_ms=\d+ cwd=\/workspace\n\$ exit 7\n#2 .+\n\$ cat\nin\n#3 .+\n\$ echo one\none\n$/,
  );
  const status = await host.cli(["workspace", "status", String(id)]);
  for (const line of ["Name: api", "Command count: 3", "Snapshots: 0", "Changed: no", "Stops when idle for: 3600 s"]) {
    assert.ok(status.stdout.split("\n").includes(line), `${line} in:\n${status.stdout}`);
  }
});

test("workspace: PYRO_WORKSPACE stands in where none is named, and it is said when none is", async () => {
  await using host = new FakeHost();
  await host.serve();
  const id = await created(host, "--name", "api");
  const env = { PYRO_WORKSPACE: "api" };
  assert.equal((await host.cli(["ws", "exec", "-q", "--", "echo", "hi"], { env })).stdout, "hi\n");
  assert.match((await host.cli(["ws", "status"], { env })).stdout, new RegExp(`^Workspace ID: ${id}$`, "m"));
  assert.match((await host.cli(["ws", "snapshot", "create", "one"], { env })).stdout, /snapshot_name=one/);
  const missing = await host.cli(["ws", "exec", "--", "true"], { cwd: tmpdir() });
  assert.equal(missing.status, 2);
  assert.match(missing.stderr, /missing required argument 'workspace'/);
  assert.match(missing.stderr, /PYRO_WORKSPACE/);
  assert.match((await host.cli(["ws", "snapshot", "create"], { env })).stderr, /missing required argument 'snapshot'/);
  assert.match(
    (await host.cli(["ws", "snapshot"])).stderr,
    /pyro workspace snapshot needs a command: create, list, delete/,
  );
});

test("workspace: where none is named, the one made from this directory is meant, and several are refused by name", async () => {
  await using scope = new Scope();
  const parent = await realpath(await mkdtemp(join(tmpdir(), "pyro-unit-")));
  scope.defer(async () => await rm(parent, { recursive: true }));
  const here = join(parent, "project");
  await mkdir(join(here, "src"), { recursive: true });
  await symlink(here, join(parent, "link"));
  await using host = new FakeHost();
  await host.serve();
  const make = async (cwd: string, ...flags: string[]): Promise<string> =>
    (await host.cli([...CREATE, "--id-only", ...flags], { cwd })).stdout.trim();
  const id = await make(here);
  await make(parent);
  const status = await host.cli(["ws", "status"], { cwd: join(parent, "link") });
  assert.match(status.stdout, new RegExp(`^Workspace ID: ${id}$`, "m"));
  assert.match(status.stdout, new RegExp(`^Directory: ${here}$`, "m"));
  assert.equal((await host.cli(["ws", "exec", "-q", "--", "echo", "hi"], { cwd: here })).stdout, "hi\n");
  assert.match((await host.cli(["ws", "snapshot", "create", "one"], { cwd: here })).stdout, /snapshot_name=one/);
  // A named one is that one, and the variable's comes first.
  const named = await make(parent, "--name", "named");
  const env = { PYRO_WORKSPACE: "named" };
  const first = await host.cli(["ws", "status"], { cwd: here, env });
  assert.match(first.stdout, new RegExp(`^Workspace ID: ${named}$`, "m"));
  // Below it no workspace was made, and what was made above is not meant.
  assert.equal((await host.cli(["ws", "exec", "--", "true"], { cwd: join(here, "src") })).status, 2);
  const second = await make(here, "--name", "second");
  const several = await host.cli(["ws", "exec", "--", "true"], { cwd: here });
  assert.equal(several.status, 2);
  assert.match(several.stderr, new RegExp(`second \\(${second}\\), ${id}`));
  await host.cli(["ws", "delete", "second"], { cwd: here });
  assert.equal((await host.cli(["ws", "restore"], { cwd: here })).status, 0);
});
