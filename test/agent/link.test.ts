/** The host's side of the link against the real agent. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { PyroError } from "../../src/contract/error.ts";
import { feedInput, followCommand, type OutputOffsets } from "../../src/guest/exec.ts";
import { greet, PROTOCOL_VERSION } from "../../src/guest/greeting.ts";
import { GrpcCode } from "../../src/guest/grpc/failure.ts";
import { openGuestLink } from "../../src/guest/link.ts";
import { startScript } from "../support/guest-command.ts";
import { LINK_DEADLINE_MS, startAgent } from "../support/real-agent.ts";

const directory = await mkdtemp(join(tmpdir(), "pyro-agent-"));
const agent = await startAgent(directory, directory);
after(async () => {
  // A control group that is left would stay on the host.
  const link = await agent.link();
  const { commands } = await link.agent.list({});
  await Promise.all(commands.map(async ({ execId }) => await link.agent.release({ execId })));
  link.close();
  await agent.stop();
  await rm(directory, { recursive: true });
});

const newId = (): string => randomBytes(8).toString("hex");
const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

test("agent link: the greeting is found behind stale bytes in both directions", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), async (stale) => {
      const socket = await agent.connect();
      // A greeting that somebody began and never ended, and whose answer nobody read.
      socket.write(Buffer.concat([stale, Buffer.from(`\nPYRO/1 ${"0".repeat(32)}\n`)]));
      const link = await openGuestLink(socket, LINK_DEADLINE_MS);
      assert.ok((await link.agent.describe({})).configured);
      link.close();
    }),
    { numRuns: 50 },
  );
});

test("agent link: both speak the same version, and the agent answers every greeting of one connection", async () => {
  const socket = await agent.connect();
  for (let round = 0; round < 3; round += 1) assert.equal(await greet(socket, LINK_DEADLINE_MS), PROTOCOL_VERSION);
  socket.destroy();
});

test("agent link: garbage instead of HTTP/2 costs only its own connection", async () => {
  const link = await agent.link();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 2000 }), async (garbage) => {
      const socket = await agent.connect();
      await greet(socket, LINK_DEADLINE_MS);
      socket.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), garbage]));
      socket.end(randomBytes(100_000));
      socket.resume();
      await new Promise((resolve) => socket.once("close", resolve));
    }),
    { numRuns: 30 },
  );
  assert.ok((await link.agent.describe({})).configured);
  link.close();
});

test("agent link: a second start under the same id is refused and runs nothing", async () => {
  const link = await agent.link();
  const id = newId();
  const file = join(directory, "runs");
  await startScript(link.agent, id, `echo run >> ${file}`);
  await assert.rejects(startScript(link.agent, id, `echo again >> ${file}`), {
    name: "GrpcFailure",
    code: GrpcCode.AlreadyExists,
  });
  await followCommand(link.agent, id, { onOutput: () => undefined });
  await assert.rejects(startScript(link.agent, id, `echo again >> ${file}`));
  assert.equal(await readFile(file, "utf8"), "run\n");
  link.close();
});

test("agent link: standard input arrives whole and in order, however it is cut", async () => {
  const link = await agent.link();
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 200_000 }), { maxLength: 12 }), async (sizes) => {
      const pieces = sizes.map((size) => randomBytes(size));
      const id = newId();
      await startScript(link.agent, id, "sha256sum", { stdin: true });
      async function* input(): AsyncGenerator<Uint8Array> {
        yield* pieces;
      }
      const fed = feedInput(link.agent, id, input(), new AbortController().signal);
      let output = "";
      await followCommand(link.agent, id, {
        onOutput: (_stream, data) => void (output += Buffer.from(data).toString()),
      });
      assert.equal(output.split(" ")[0], sha256(Buffer.concat(pieces)));
      assert.equal(await fed, BigInt(Buffer.concat(pieces).length));
      await link.agent.release({ execId: id });
    }),
    { numRuns: 15 },
  );
  link.close();
});

test("agent link: looking after the agent does not stop much data in both directions", async () => {
  const BYTES = 64 * 1024 * 1024;
  const PULSE_MS = 2;
  const link = await openGuestLink(await agent.connect(), LINK_DEADLINE_MS, PULSE_MS);
  const piece = randomBytes(64 * 1024);
  async function* input(): AsyncGenerator<Uint8Array> {
    for (let sent = 0; sent < BYTES; sent += piece.length) yield piece;
  }
  for (let round = 0; round < 3; round += 1) {
    const id = newId();
    await startScript(link.agent, id, "cat", { stdin: true });
    const fed = feedInput(link.agent, id, input(), new AbortController().signal);
    let taken = 0;
    await followCommand(link.agent, id, { onOutput: (_stream, data) => void (taken += data.length) });
    assert.deepEqual([taken, await fed], [BYTES, BigInt(BYTES)]);
    await link.agent.release({ execId: id });
  }
  link.close();
});

/** More than the agent and HTTP/2 hold back together, so that acknowledging matters. */
const OUTPUT_BYTES = 12 * 1024 * 1024;

/** Follows a command, losing the link at each of `cuts` (bytes taken since the last), and gives all that was taken. */
async function followWithCuts(id: string, cuts: readonly number[]): Promise<{ stdout: Buffer; code: unknown }> {
  const chunks: Buffer[] = [];
  const from: OutputOffsets = { stdout: 0n, stderr: 0n };
  for (const cut of [...cuts, Number.POSITIVE_INFINITY]) {
    const socket = await agent.connect();
    const link = await openGuestLink(socket, LINK_DEADLINE_MS);
    let taken = 0;
    try {
      const exit = await followCommand(link.agent, id, {
        from,
        onOutput: (stream, data) => {
          chunks.push(Buffer.from(data));
          from[stream] += BigInt(data.length);
          taken += data.length;
          if (taken > cut) socket.destroy();
        },
      });
      return { stdout: Buffer.concat(chunks), code: exit.outcome };
    } catch (failure) {
      assert.ok(PyroError.is(failure), String(failure));
      assert.equal(failure.code, "guest_unreachable", failure.message);
    } finally {
      link.close();
    }
  }
  return assert.fail("the last link was lost too");
}

test("agent link: losing the link mid-output and going on from the offsets loses and repeats nothing", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 5_000_000 }), { minLength: 1, maxLength: 4 }), async (cuts) => {
      const link = await agent.link();
      const id = newId();

      const script = `head -c ${OUTPUT_BYTES} /dev/urandom | tee ${join(directory, id)}; exit 7`;
      await startScript(link.agent, id, script);
      link.close();
      const { stdout, code } = await followWithCuts(id, cuts);
      assert.equal(stdout.length, OUTPUT_BYTES);
      assert.equal(sha256(stdout), sha256(await readFile(join(directory, id))));
      assert.deepEqual(code, { case: "code", value: 7 });
      await rm(join(directory, id));
    }),
    { numRuns: 8 },
  );
});

test("agent link: a reader that stops reading stops the command, in bounded memory on both sides", async () => {
  const link = await agent.link();
  const id = newId();
  const written = join(directory, "written");
  await startScript(link.agent, id, `for i in $(seq 1 200); do head -c 1048576 /dev/zero; echo $i > ${written}; done`);
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  let total = 0;
  let held: number | undefined;
  const following = followCommand(link.agent, id, {
    onOutput: async (_stream, data) => {
      total += data.length;
      if (held === undefined) {
        held = await settled(async () => Number((await readFile(written, "utf8").catch(() => "0")).trim()));
        await gate;
      }
    },
  });
  const otherCall = link.agent.describe({});
  assert.ok((await otherCall).configured, "another call on the same link is answered meanwhile");
  open();
  assert.deepEqual((await following).outcome, { case: "code", value: 0 });
  assert.equal(total, 200 * 1024 * 1024);
  assert.ok(held !== undefined && held <= 24, `the command got ahead by ${held} MiB`);
  link.close();
});

/** The value of `look` when it no longer changes. */
async function settled(look: () => Promise<number>): Promise<number> {
  let last = -1;
  let since = performance.now();
  for (;;) {
    const now = await look();
    if (now !== last) since = performance.now();
    if (now === last && performance.now() - since > 300) return now;
    last = now;
  }
}

test("agent link: an unknown command, and output that was acknowledged already, are refused", async () => {
  const link = await agent.link();
  await assert.rejects(followCommand(link.agent, "never-started", { onOutput: () => undefined }), {
    code: "not_found",
  });
  const id = newId();
  await startScript(link.agent, id, `head -c ${OUTPUT_BYTES} /dev/zero`);
  await followCommand(link.agent, id, { onOutput: () => undefined });
  await assert.rejects(followCommand(link.agent, id, { onOutput: () => undefined }), (failure: unknown) => {
    assert.ok(PyroError.is(failure));
    return failure.code !== "guest_unreachable";
  });
  link.close();
});
