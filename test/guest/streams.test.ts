/** The CLI's own streams, exit codes and lines, with a command in a real guest behind them. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { type CliEnd, type CliOptions, CliProcess } from "../support/cli-process.ts";
import { client, machineDirectories, until } from "../support/guest-host.ts";

const MIB = 1024 * 1024;

// Ends the server when the file is over.
client();

/** Runs the CLI to its end; `input` is all that it gets on standard input. */
async function pyro(
  words: readonly string[],
  { input = "", ...options }: CliOptions & { input?: string | Buffer } = {},
): Promise<CliEnd> {
  using cli = new CliProcess(words, options);
  cli.child.stdin?.on("error", () => undefined);
  cli.child.stdin?.end(input);
  return await cli.end();
}

const run = async (...command: string[]): Promise<CliEnd> => await pyro(["run", "debian:12", "--", ...command]);

test("streams: 1 MiB of random bytes goes in and comes out untouched", async () => {
  const bytes = randomBytes(MIB);
  const { code, stdout } = await pyro(["run", "debian:12", "--", "cat"], { input: bytes });
  assert.equal(code, 0);
  assert.ok(stdout.equals(bytes), `${stdout.length} bytes came back`);
});

test("streams: the guest's output and errors stay apart, and pyro's own lines are on standard error alone", async () => {
  const { code, stdout, stderr } = await run("echo out; echo err >&2; exit 3");
  assert.deepEqual([code, stdout.toString()], [3, "out\n"]);
  const id = "[0-9a-f]{12}";
  const lines = [
    String.raw`\[run\] phase=create environment=debian:12`,
    String.raw`\[run\] phase=start vm_id=(${id})`,
    String.raw`\[run\] phase=execute vm_id=\1`,
    "err",
    String.raw`\[run\] environment=debian:12 execution_mode=guest_\w+ exit_code=3 duration_ms=\d+ isolation=\w+`,
  ];
  // The first run of all also makes the template.
  const withoutPull = stderr.replaceAll(/^\[pull\] .*\n/gm, "");
  assert.match(withoutPull, new RegExp(`^${lines.join("\n")}\n$`));
});

test("streams: the summary has a line of its own after output without a final newline", async () => {
  const { stderr } = await run("printf unfinished >&2");
  assert.match(stderr, /^unfinished\n\[run\] environment=/m);
});

test("streams: a reader that goes away ends the command and its machine", async () => {
  using cli = new CliProcess(["run", "debian:12", "--timeout-seconds", "600", "--", "yes"]);
  await cli.says(/^y$/m, "stdout");
  const [, id = ""] = await cli.says(/phase=execute vm_id=(\w+)/);
  cli.child.stdout?.destroy();
  assert.equal((await cli.end()).code, 141);
  await until(() => !machineDirectories().includes(id), 2000, "the machine is gone");
});

test("streams: a closed standard input is an empty one", async () => {
  using cli = new CliProcess(["run", "debian:12", "--", "wc -c"], { streams: "closed-input" });
  const { code, stdout } = await cli.end();
  assert.deepEqual([code, stdout.toString()], [0, "0\n"]);
});

test("streams: input that nobody ends does not keep a command that does not read it", async () => {
  using cli = new CliProcess(["run", "debian:12", "--", "true"]);
  assert.equal((await cli.end()).code, 0);
});

test("streams: a terminal's input is not read: what is typed is for the next program", async () => {
  using cli = new CliProcess(["run", "debian:12", "--", "cat; echo done"], { streams: "terminal" });
  await cli.says(/phase=create/, "stdout");
  cli.child.stdin?.write("typed ahead\n");
  const { code, stdout } = await cli.end();
  assert.equal(code, 0);
  assert.match(stdout.toString(), /^done\r$/m);
  // Once, as the terminal's own echo; not again, as cat's output.
  assert.equal(stdout.toString().split("typed ahead").length, 2, stdout.toString());
});

test("streams: one word with shell characters is a script, several words are a program and its arguments", async () => {
  assert.equal((await run("echo one two | wc -w")).stdout.toString(), "2\n");
  assert.equal((await run("echo", "one | two", "$HOME")).stdout.toString(), "one | two $HOME\n");
});

test("streams: flags come before or after the environment's name", async () => {
  for (const words of [
    ["run", "-e", "COLOUR=blue", "--mem-mib", "512", "debian:12"],
    ["run", "debian:12", "--mem-mib", "512", "-e", "COLOUR=blue"],
  ]) {
    const { stdout } = await pyro([
      ...words,
      "--",
      "echo $COLOUR; awk '/MemTotal/ { print ($2 < 524288) }' /proc/meminfo",
    ]);
    assert.equal(stdout.toString(), "blue\n1\n");
  }
});

test("streams: --json is one object with sorted keys, and nothing else is said", async () => {
  const { code, stdout, stderr } = await pyro([
    "run",
    "debian:12",
    "--json",
    "--",
    "echo out; printf '\\377' >&2; exit 4",
  ]);
  assert.deepEqual([code, stderr], [4, ""]);
  const result = JSON.parse(stdout.toString()) as Record<string, unknown>;
  assert.deepEqual(Object.keys(result), [
    ...["cleanup", "command", "confinement", "duration_ms", "environment", "environment_version", "execution_mode"],
    ...[
      "exit_code",
      "isolation",
      "out_of_memory",
      "signal",
      "stderr",
      "stderr_base64",
      "stderr_dropped_bytes",
      "stdout",
    ],
    ...["stdout_dropped_bytes", "timed_out", "vm_id"],
  ]);
  assert.deepEqual([result["exit_code"], result["stdout"], result["stderr_base64"]], [4, "out\n", "/w=="]);
  assert.deepEqual(result["cleanup"], { deleted: true, reason: "post_exec_cleanup", vm_id: result["vm_id"] });
  assert.match(stdout.toString(), /^\{\n {2}"cleanup": \{\n {4}"deleted": true,[^]*\n\}\n$/);
});

test("streams: the time limit is 124, and what was said before it is there", async () => {
  const { code, stdout, stderr } = await pyro([
    "run",
    "debian:12",
    "--timeout-seconds",
    "1",
    "--",
    "echo kept; sleep 60",
  ]);
  assert.deepEqual([code, stdout.toString()], [124, "kept\n"]);
  assert.match(stderr, /^\[run\] .*exit_code=124 .*timed_out=yes/m);
});

test("streams: not found is 127, not executable 126, a signal 128 and its number", async () => {
  assert.equal((await run("no-such-program")).code, 127);
  assert.equal((await run("/etc/passwd")).code, 126);
  assert.equal((await run("kill -9 $$")).code, 137);
});

test("streams: --quiet leaves the guest's output alone", async () => {
  const { stdout, stderr } = await pyro(["run", "debian:12", "--quiet", "--", "echo out; echo err >&2"]);
  assert.deepEqual([stdout.toString(), stderr], ["out\n", "err\n"]);
});
