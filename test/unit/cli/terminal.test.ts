/** `-i`, `-t` and `-it` on a pseudo-terminal of this host, with a guest that says what it gets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLI, FakeHost } from "../../support/fake-host.ts";
import type { RunningServer } from "../../../src/server/server.ts";
import { PseudoTerminal } from "../../support/pseudo-terminal.ts";

/** Runs its arguments on a terminal of 91 by 17, and shows its modes before and after. */
const SESSION = `stty cols 91 rows 17; echo "tty $(tty)"; echo "before $(stty -g)"; "$@"; echo "status $?"
echo "after $(stty -g)"; stty size`;
/** Says the id of the process that it becomes. */
const NAMED = ["sh", "-c", 'echo "pid $$"; exec "$@"', "sh"];

async function workspace(host: FakeHost): Promise<RunningServer> {
  const server = await host.serve();
  const { status, stderr } = await host.cli(["workspace", "create", "debian:12", "--name", "api"]);
  assert.equal(status, 0, stderr);
  return server;
}

function session(host: FakeHost, args: readonly string[]): PseudoTerminal {
  const env = { ...host.env, TERM: "vt100" };
  return new PseudoTerminal(SESSION, [...NAMED, process.execPath, CLI, ...args], env);
}

function assertRestored(shown: string): void {
  const [before, after] = ["before", "after"].map((word) => new RegExp(`${word} (\\S+)`).exec(shown)?.[1]);
  assert.ok(before !== undefined && before === after, shown);
}

test("terminal: -it lends the terminal to the command: its size, TERM, every key, and what it shows", async () => {
  await using host = new FakeHost();
  await workspace(host);
  for (const args of [
    ["ws", "exec", "-it", "api"],
    ["run", "-i", "-t", "debian:12"],
  ]) {
    using shell = session(host, [...args, "--", "terminal"]);
    await shell.shows(/terminal 91x17 vt100\r\n/);
    // Ctrl-C, Ctrl-D and a carriage return are the command's, and nothing is echoed.
    shell.type("\u0003\u0004\r");
    await shell.shows(/byte 3\r\nbyte 4\r\nbyte 13\r\n/);
    const [, path = ""] = await shell.shows(/tty (\S+)/);
    shell.resize(path, 100, 30);
    await shell.shows(/resized 100x30\r\n/);
    shell.type("q");
    const shown = await shell.end();
    assert.match(shown, /exit_code=5 [^\n]*\r\nstatus 5\r\n/);
    assert.match(shown, /\r\n30 100\r\n$/);
    assertRestored(shown);
    // Not a byte was added: a terminal in its usual mode would have made two carriage returns of one.
    assert.ok(!shown.includes("\r\r\n"), JSON.stringify(shown));
  }
});

test("terminal: its modes are as they were when the CLI is ended, and when its server is", async () => {
  await using host = new FakeHost();
  const server = await workspace(host);
  const exec = ["ws", "exec", "-it", "api", "--", "terminal"];
  for (const [signal, status] of [
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    using shell = session(host, exec);
    const [, pid = ""] = await shell.shows(/pid (\d+)/);
    await shell.shows(/terminal 91x17/);
    process.kill(Number(pid), signal);
    const shown = await shell.end();
    assert.match(shown, new RegExp(`status ${status}\\r\\n`));
    assertRestored(shown);
  }
  using shell = session(host, exec);
  await shell.shows(/terminal 91x17/);
  await server.stop();
  const shown = await shell.end();
  assert.match(shown, /status 125\r\n/);
  assertRestored(shown);
});

test("terminal: -t alone leaves the keys to pyro, and without a terminal it is refused", async () => {
  await using host = new FakeHost();
  await workspace(host);
  using shell = session(host, ["ws", "exec", "-t", "-q", "api", "--", "terminal"]);
  const shown = await shell.end();
  assert.match(shown, /terminal 91x17 vt100\r\r\nstatus 0\r\n/);
  assertRestored(shown);
  for (const flags of ["-it", "-t"]) {
    const refused = await host.cli(["ws", "exec", flags, "api", "--", "terminal"], { input: "" });
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /the input device is not a TTY/);
  }
  const json = await host.cli(["run", "-t", "debian:12", "--json", "--", "terminal"], { input: "" });
  assert.equal((JSON.parse(json.stdout) as { error: { code: string } }).error.code, "invalid_argument");
});

test("terminal: -i gives the command what is typed, line by line", async () => {
  await using host = new FakeHost();
  await workspace(host);
  using shell = session(host, ["ws", "exec", "-i", "-q", "api", "--", "cat"]);
  await shell.shows(/before/);
  shell.type("one\n");
  // The terminal's own echo, and then the command's.
  await shell.shows(/one\r\n[^]*one\r\n/);
  shell.endInput();
  assert.match(await shell.end(), /status 0/);
});
