import assert from "node:assert/strict";
import { test } from "node:test";
import { describeCommands } from "../../../src/cli/description.ts";
import { MACHINE_NAMES } from "../../../src/contract/run.ts";
import { VERSION } from "../../../src/contract/version.ts";
import { FakeHost } from "../../support/fake-host.ts";

test("env list, pull, inspect and prune read as in the transcript", async () => {
  await using host = new FakeHost();
  await host.serve();
  const list = await host.cli(["env", "list"]);
  assert.equal(
    list.stdout,
    "Catalog version: 1.0.0\ndebian:12 [installed] A fake environment with an umlaut: ä.\ndebian:12-base [not installed] A fake environment with an umlaut: ä.\n",
  );
  const pull = await host.cli(["env", "pull", "debian:12"]);
  assert.equal(pull.stderr, "[pull] phase=install environment=debian:12\n[pull] phase=ready environment=debian:12\n");
  assert.equal(
    pull.stdout,
    [
      "Pulled: debian:12",
      "Version: 1.0.0",
      "Distribution: debian 12",
      "Installed: yes",
      "Cache dir: /cache",
      "Default packages: bash, coreutils, git",
      "Install dir: /cache/debian:12",
      "Install manifest: /cache/environment.json",
      "Kernel image: /cache/vmlinuz",
      "Rootfs image: /cache/rootfs.ext4",
      "Source: debian bookworm",
      "",
    ].join("\n"),
  );
  const inspect = await host.cli(["env", "inspect", "debian:12"]);
  assert.match(inspect.stdout, /^Environment: debian:12\n/);
  const prune = await host.cli(["env", "prune"]);
  assert.equal(prune.stdout, "Deleted 1 cached environment entry.\n- /cache/a\nFreed: 2.0 MiB\n");
  assert.match((await host.cli(["env", "prune", "--all"])).stdout, /^Deleted 2 cached environment entries\.\n/);
});

test("every command answers --json with one document and no other line", async () => {
  await using host = new FakeHost();
  await host.serve();
  for (const args of [
    ["env", "list"],
    ["env", "pull", "debian:12"],
    ["env", "inspect", "debian:12"],
    ["env", "prune"],
    ["server", "status"],
    ["demo"],
  ]) {
    const { status, stdout, stderr } = await host.cli([...args, "--json"]);
    assert.equal(status, 0, args.join(" "));
    assert.equal(stderr, "");
    assert.equal(typeof JSON.parse(stdout), "object");
    assert.ok(stdout.endsWith("\n") && !stdout.endsWith("\n\n"));
  }
});

test("demo is the JSON of one run", async () => {
  await using host = new FakeHost();
  await host.serve();
  const { status, stdout } = await host.cli(["demo"]);
  assert.equal(status, 0);
  const result = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(result["command"], "git --version");
  assert.equal(result["environment"], "debian:12");
  assert.equal(result["stdout"], "git version 2.39.5\n");
  assert.equal(result["exit_code"], 0);
});

test("server status and stop", async () => {
  await using host = new FakeHost();
  assert.match((await host.cli(["server", "status"])).stdout, /^Server: not running\n/);
  assert.equal((await host.cli(["server", "stop"])).stdout, "No server was running.\n");
  using pyro = host.pyro();
  await pyro.env.list();
  assert.match(
    (await host.cli(["server", "status"])).stdout,
    /^Server: running pid=\d+ version=.* since=.*\nSocket: .*\nLog: .*\nMachines: held=0 ready=1\n$/,
  );
  assert.match((await host.cli(["server", "stop"])).stdout, /^Stopped the server: pid=\d+\n$/);
});

test("the version is told without loading anything else", async () => {
  await using host = new FakeHost();
  for (const flag of ["--version", "-V"]) {
    const { status, stdout } = await host.cli([flag]);
    assert.deepEqual([status, stdout], [0, `pyro ${VERSION}\n`]);
  }
});

test("help names every command, and each command's help has its flags and examples", async () => {
  await using host = new FakeHost();
  const root = await host.cli(["--help"]);
  assert.equal(root.status, 0);
  for (const word of ["run", "env", "doctor", "demo", "server", "mcp", "completion", "Exit status", "PYRO_CACHE_DIR"])
    assert.ok(root.stdout.includes(word), word);
  assert.equal((await host.cli([])).stdout, root.stdout);
  for (const { path, flags, examples } of describeCommands()) {
    const { status, stdout } = await host.cli([...path, "--help"]);
    assert.equal(status, 0);
    for (const { flag } of flags) assert.ok(stdout.includes(flag), `${path.join(" ")} ${flag}`);
    for (const example of examples) assert.ok(stdout.includes(`$ ${example}`), example);
    assert.doesNotMatch(stdout, /stream-id|--stdin|caller's byte stream|--output <result/);
  }
  assert.equal((await host.cli(["help", "run"])).stdout, (await host.cli(["run", "--help"])).stdout);
});

test("completion scripts for the three shells, and answers for them", async () => {
  await using host = new FakeHost();
  await host.serve();
  for (const shell of ["bash", "zsh", "fish"]) {
    const { status, stdout } = await host.cli(["completion", shell]);
    assert.equal(status, 0);
    assert.match(stdout, /pyro/);
  }
  const offered = async (...words: string[]): Promise<string[]> => {
    const { stdout } = await host.cli(["complete", "--", ...words]);
    return stdout.split("\n").map((line) => line.split("\t")[0] ?? "");
  };
  assert.ok((await offered("env", "")).includes("pull"));
  assert.ok((await offered("run", "deb")).includes("debian:12-base"));
  assert.ok((await offered("run", "--vc")).includes("--vcpu-count"));
  assert.deepEqual((await offered("run", "debian:12", "--require-isolation", "")).slice(0, 2), ["any", "hardware"]);
  assert.deepEqual((await offered("run", "debian:12", "--machine", "")).slice(0, 3), [...MACHINE_NAMES]);
});
