/** What a person, a terminal or the system does to `pyro run` in the middle: nothing is left behind. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { templatesDirectory } from "../../src/host/paths.ts";
import { CliProcess } from "../support/cli-process.ts";
import { client, machineDirectories, paths, until, vmmPids } from "../support/guest-host.ts";

/** From the end of the CLI to the end of all that it had. */
const GONE_MS = 2000;
/** For a person who presses Ctrl-C. */
const PROMPT_MS = 3000;

// No machine is kept ready: every start is a restore, and every VMM that is there is a leftover.
process.env["PYRO_READY_MACHINES"] = "0";
const pyro = client();

/** Says when it has begun, answers every interrupt with a word, and goes on. */
const STUBBORN = "trap 'echo caught' INT; echo ready; while :; do sleep 0.1; done";
/** As above, and ends with 7 as soon as it is interrupted. */
const OBEDIENT = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done";

const run = (...command: readonly string[]): string[] => [
  "run",
  "debian:12",
  "--timeout-seconds",
  "600",
  "--",
  ...command,
];

async function nothingLeft(): Promise<void> {
  const left = async (): Promise<number> => {
    const { machines, ready_machines: ready } = await pyro.server.status();
    return machines + ready + machineDirectories().length + vmmPids().length;
  };
  await until(async () => (await left()) === 0, GONE_MS, "machines, their VMMs and directories are gone");
}

test("Ctrl-C before the server answers ends the call at once", async () => {
  await pyro.server.stop({ force: true });
  const folder = mkdtempSync(join(tmpdir(), "pyro-interrupt-"));
  const launcher = join(folder, "launcher");
  const [begun, gate] = [join(folder, "begun"), join(folder, "gate")];
  execFileSync("mkfifo", [gate]);
  // A start that takes as long as the test wants it to.
  writeFileSync(launcher, `#!/bin/sh\n: >${begun}\nread -r _ <${gate}\nexit 1\n`, { mode: 0o755 });
  const watcher = watch(folder);
  try {
    using cli = new CliProcess(run("true"), { env: { PYRO_LAUNCHER_PATH: launcher } });
    while (!existsSync(begun)) await once(watcher, "change", { signal: AbortSignal.timeout(PROMPT_MS) });
    cli.signal("SIGINT");
    const { code, stdout, stderr } = await cli.end(PROMPT_MS);
    assert.deepEqual([code, stdout.toString(), stderr], [130, "", ""]);
  } finally {
    writeFileSync(gate, "\n");
    watcher.close();
    rmSync(folder, { recursive: true });
  }
  await nothingLeft();
});

test("Ctrl-C while the environment is installed leaves nothing half-installed", async () => {
  const cache = mkdtempSync(join(tmpdir(), "pyro-interrupt-"));
  try {
    using cli = new CliProcess(run("true"), { env: { PYRO_CACHE_DIR: cache } });
    await cli.says(/\[pull\] phase=packages environment=debian:12 /);
    cli.signal("SIGINT");
    const { code, stderr } = await cli.end(PROMPT_MS);
    assert.equal(code, 130);
    assert.doesNotMatch(stderr, /error|phase=start/);
    await nothingLeft();
    const halves = (): string[] => readdirSync(join(cache, "environments", "linux-x86_64"));
    await until(() => halves().length === 0, GONE_MS, "what was installed so far is gone");
  } finally {
    // The server of this cache ends before its directory goes.
    await pyro.server.stop({ force: true });
    rmSync(cache, { recursive: true, force: true });
  }
});

test("Ctrl-C while the template is made leaves no template", async () => {
  await warm();
  const before = readdirSync(templatesDirectory(paths));
  // A size that no other test asks for, so that its template is not there.
  using cli = new CliProcess(["run", "debian:12", "--mem-mib", "333", "--", "true"]);
  await cli.says(/\[pull\] phase=template/);
  cli.signal("SIGINT");
  assert.equal((await cli.end(PROMPT_MS)).code, 130);
  await nothingLeft();
  const added = (): string[] => readdirSync(templatesDirectory(paths)).filter((name) => !before.includes(name));
  await until(() => added().length === 0, GONE_MS, "what was made of the template is gone");
});

test("Ctrl-C while the machine is restored ends it", async () => {
  await warm();
  // No shell: dash loses an interrupt that comes just before it executes the program.
  using cli = new CliProcess(run("sleep", "600"));
  await cli.says(/phase=start vm_id=/);
  cli.signal("SIGINT");
  const { code, stdout } = await cli.end(PROMPT_MS);
  assert.deepEqual([code, stdout.toString()], [130, ""]);
  await nothingLeft();
});

test("Ctrl-C goes to the guest's command: what its trap prints and its exit code arrive", async () => {
  using cli = new CliProcess(run(OBEDIENT));
  await cli.says(/ready/, "stdout");
  cli.signal("SIGINT");
  const { code, stdout, stderr } = await cli.end();
  assert.deepEqual([code, stdout.toString()], [7, "ready\ncaught\n"]);
  assert.match(stderr, /^\[run\] environment=debian:12 .*exit_code=7 /m);
  await nothingLeft();
});

test("a second Ctrl-C ends the machine of a command that goes on", async () => {
  using cli = new CliProcess(run(STUBBORN));
  await cli.says(/ready/, "stdout");
  cli.signal("SIGINT");
  await cli.says(/caught/, "stdout");
  cli.signal("SIGINT");
  assert.equal((await cli.end(PROMPT_MS)).code, 130);
  await nothingLeft();
});

test("Ctrl-C typed on a terminal goes the same way", async () => {
  using cli = new CliProcess(run(OBEDIENT), { streams: "terminal" });
  await cli.says(/ready/, "stdout");
  cli.child.stdin?.write("\u0003");
  const { code, stdout } = await cli.end();
  assert.equal(code, 7);
  assert.match(stdout.toString(), /caught/);
  await nothingLeft();
});

for (const [name, status] of [
  ["SIGTERM", 143],
  ["SIGHUP", 129],
  ["SIGKILL", null],
] as const) {
  test(`${name} of the CLI takes its machine along within ${GONE_MS / 1000} s`, async () => {
    using cli = new CliProcess(run(STUBBORN));
    await cli.says(/ready/, "stdout");
    assert.equal(vmmPids().length, 1, "there is a machine to end");
    cli.signal(name);
    const { code, signal } = await cli.end(PROMPT_MS);
    assert.deepEqual([code, signal], status === null ? [null, name] : [status, null]);
    await nothingLeft();
  });
}

/** Has the environment and the template of its defaults there, so that the next start is a restore. */
async function warm(): Promise<void> {
  await pyro.run({ environment: "debian:12", command: ["true"] });
}
