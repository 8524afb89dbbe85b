/** A whole command against the real agent: in one call, and in three as with an agent of the version before. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { GuestLink } from "../../src/guest/link.ts";
import { startExec } from "../../src/machine/exec.ts";
import type { ExecRequest } from "../../src/machine/machine.ts";
import { startAgent } from "../support/real-agent.ts";

const directory = await mkdtemp(join(tmpdir(), "pyro-agent-"));
const agent = await startAgent(directory, directory);
after(async () => {
  await agent.stop();
  await rm(directory, { recursive: true });
});

const DEADLINE_MS = 20_000;

const request = (argv: readonly string[], more: Partial<ExecRequest> = {}): ExecRequest => ({
  argv,
  env: { PATH: "/usr/bin:/bin" },
  cwd: directory,
  user: "",
  timeLimitMs: DEADLINE_MS,
  stdin: undefined,
  onOutput: () => undefined,
  ...more,
});

async function untilForgotten(link: GuestLink): Promise<void> {
  const end = performance.now() + DEADLINE_MS;
  while ((await link.agent.list({})).commands.length > 0) {
    assert.ok(performance.now() < end, "a command that has ended is still known");
  }
}

async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield await Promise.resolve(Buffer.from(text));
}

for (const protocolVersion of [3, 2]) {
  const newLink = async (): Promise<GuestLink> => {
    const link = await agent.link();
    assert.equal(link.protocolVersion, 3);
    // The agent speaks both; which one is used is the host's to choose.
    return { ...link, protocolVersion };
  };

  test(`exec, protocol ${protocolVersion}: input, output and end of a command, which is then forgotten`, async () => {
    const link = await newLink();
    const said = { stdout: "", stderr: "" };
    const exec = startExec(
      link,
      request(["/bin/sh", "-c", "cat; echo err >&2; exit 7"], {
        stdin: pieces("one ", "two"),
        onOutput: (stream, data) => void (said[stream] += Buffer.from(data).toString()),
      }),
    );
    await exec.started;
    assert.equal((await exec.outcome).exitCode, 7);
    assert.deepEqual(said, { stdout: "one two", stderr: "err\n" });
    await untilForgotten(link);
    link.close();
  });

  test(`exec, protocol ${protocolVersion}: what cannot be executed is an outcome, what is refused a failure`, async () => {
    const link = await newLink();
    const missing = startExec(link, request(["/no/such/program"]));
    await missing.started;
    assert.equal((await missing.outcome).exitCode, 127);
    const refused = startExec(link, request(["/bin/true"], { cwd: "not/absolute" }));
    await assert.rejects(refused.started, { code: "invalid_argument", message: /^starting the command: / });
    await assert.rejects(refused.outcome, { code: "invalid_argument" });
    await untilForgotten(link);
    link.close();
  });

  test(`exec, protocol ${protocolVersion}: a kept command is still there when it has ended`, async () => {
    const link = await newLink();
    const exec = startExec(
      link,
      request(["/bin/sh", "-c", "echo kept"], { keep: { bytes: 65_536, note: Buffer.from("note") } }),
    );
    assert.equal((await exec.outcome).exitCode, 0);
    const { commands } = await link.agent.list({});
    assert.deepEqual(
      commands.map(({ execId, running, note }) => [execId, running, Buffer.from(note).toString()]),
      [[exec.id, false, "note"]],
    );
    await link.agent.release({ execId: exec.id });
    link.close();
  });
}
