import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeHost } from "../../support/fake-host.ts";

/** Wrong usage: the words, and what the message and the remedy must say. */
const USAGE: readonly [args: string[], message: RegExp, remedy: RegExp][] = [
  [["rum"], /unknown command 'rum'/, /did you mean run\?/],
  [["env", "lst"], /unknown command 'lst'/, /did you mean list\?/],
  [["env"], /pyro env needs a command: list, pull, inspect, prune/, /--help/],
  [["run"], /missing required argument 'environment'/, /--help/],
  [["run", "debian:12"], /no command was given/, /after `--`/],
  [["run", "debian:12", "--"], /no command was given/, /after `--`/],
  [["run", "debian:12", "git"], /too many arguments/, /pyro run debian:12 -- git/],
  [["run", "--vcpu-cuont", "2", "debian:12", "--", "true"], /unknown option '--vcpu-cuont'/, /--vcpu-count/],
  [
    ["run", "--vcpu-count", "0", "debian:12", "--", "true"],
    /--vcpu-count takes a whole number from 1 to 8, not "0"/,
    /./,
  ],
  [["run", "--vcpu-count", "9", "debian:12", "--", "true"], /--vcpu-count takes a whole number from 1 to 8/, /./],
  [["run", "--vcpu-count", "1.5", "debian:12", "--", "true"], /--vcpu-count takes a whole number/, /./],
  [["run", "--mem-mib", "255", "debian:12", "--", "true"], /--mem-mib takes a whole number from 256 to 32768/, /./],
  [
    ["run", "--timeout-seconds", "0", "debian:12", "--", "true"],
    /--timeout-seconds takes a number more than 0 and at most 86400/,
    /./,
  ],
  [["run", "--timeout-seconds", "1e9", "debian:12", "--", "true"], /at most 86400/, /./],
  [["run", "--timeout-seconds", "soon", "debian:12", "--", "true"], /not "soon"/, /./],
  [["run", "--timeout-seconds"], /argument missing/, /./],
  [["run", "-e", "NOVALUE", "debian:12", "--", "true"], /--env takes NAME=VALUE/, /./],
  [["run", "-w", "relative", "debian:12", "--", "true"], /--cwd takes/, /./],
  [["run", "--require-isolation", "some", "debian:12", "--", "true"], /one of any, hardware/, /./],
  [["run", "--machine", "vmware", "debian:12", "--", "true"], /one of firecracker, qemu-kvm, qemu-tcg/, /./],
  [["run", "", "--", "true"], /<environment> takes/, /./],
  [["env", "list", "--", "x"], /takes nothing after `--`/, /./],
  [["completion", "tcsh"], /one of bash, zsh, fish/, /./],
];

test("wrong usage is told in one line with a way out, exit status 2, and nothing is started", async (t) => {
  await using host = new FakeHost();
  for (const [args, message, remedy] of USAGE) {
    await t.test(args.join(" "), async () => {
      const { status, stdout, stderr } = await host.cli(args);
      assert.equal(status, 2, stderr);
      assert.equal(stdout, "");
      const [first = "", second = ""] = stderr.split("\n");
      assert.match(first, /^\[error\] /);
      assert.match(first, message);
      if (second !== "") assert.match(second, remedy);
      assert.doesNotMatch(stderr, /\bat .*\.js:\d+/);
    });
  }
  const json = await host.cli(["run", "--json", "--vcpu-count", "0", "debian:12", "--", "true"]);
  assert.equal(json.status, 2);
  const answer = JSON.parse(json.stdout) as { ok: boolean; error: { code: string } };
  assert.equal(answer.ok, false);
  assert.equal(answer.error.code, "invalid_argument");
  assert.equal(json.stderr, "");
});

test("a failure of pyro is 125, with what to try; as JSON it is on standard output", async () => {
  await using host = new FakeHost();
  await host.serve();
  const text = await host.cli(["run", "debian:13", "--", "true"]);
  assert.equal(text.status, 125);
  assert.equal(text.stdout, "");
  assert.equal(text.stderr, "[error] there is no environment debian:13\n  try: known are debian:12, debian:12-base\n");
  const json = await host.cli(["run", "--json", "debian:13", "--", "true"]);
  assert.equal(json.status, 125);
  assert.equal(json.stderr, "");
  assert.deepEqual(JSON.parse(json.stdout), {
    error: {
      code: "not_found",
      message: "there is no environment debian:13",
      remedy: "known are debian:12, debian:12-base",
    },
    ok: false,
  });
  assert.equal((await host.cli(["run", "--require-isolation", "hardware", "debian:12", "--", "true"])).status, 125);
});

test("what a guest has written never drives the terminal from one of pyro's own lines", async () => {
  await using host = new FakeHost();
  await host.serve();
  const { status, stderr } = await host.cli(["run", "-q", "debian:12", "--", "crash"]);
  assert.equal(status, 125);
  assert.match(
    stderr,
    /^\[error\] the VMM ended on its own\n {2}console:\n {4}line one\n {4}\\x1b\[31mpanic\\x1b\[0m\n$/,
  );
});

test("PYRO_DEBUG=1 shows the stack, nothing else does", async () => {
  await using host = new FakeHost();
  await host.serve();
  const { stderr } = await host.cli(["run", "-q", "debian:12", "--", "crash"], { env: { PYRO_DEBUG: "1" } });
  assert.match(stderr, /PyroError: the VMM ended on its own\n\s+at /);
});

test("without a launcher the error says what is missing", async () => {
  await using host = new FakeHost();
  const { status, stderr } = await host.cli(["env", "list"], { env: { PYRO_LAUNCHER_PATH: "/nowhere/pyro-launch" } });
  assert.equal(status, 125);
  assert.match(stderr, /^\[error\] .*pyro-launch/);
});
