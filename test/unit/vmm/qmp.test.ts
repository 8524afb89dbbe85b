import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { PyroError } from "../../../src/contract/error.ts";
import { QmpClient } from "../../../src/vmm/qemu/qmp.ts";

const GREETING = '{"QMP": {"version": {}, "capabilities": []}}\n';
const directory = await mkdtemp(join(tmpdir(), "pyro-qmp-"));
after(async () => await rm(directory, { recursive: true }));
let count = 0;

/** A client connected to a fake QEMU that answers each command by `answer`. */
async function connected(
  answer: (command: { execute: string; id: number }, peer: Socket) => void,
  greeting = GREETING,
): Promise<QmpClient> {
  const path = join(directory, `${(count += 1)}.sock`);
  const server = createServer((peer) => {
    peer.on("error", () => undefined);
    peer.write(greeting);
    peer.on("data", (chunk) => {
      for (const line of chunk.toString().split("\n").filter(Boolean)) {
        answer(JSON.parse(line) as { execute: string; id: number }, peer);
      }
    });
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return new QmpClient(connect(path));
}

const reply = (peer: Socket, message: object): boolean => peer.write(`${JSON.stringify(message)}\n`);

test("qmp: negotiates, executes, and answers in any order", async () => {
  const held: (() => void)[] = [];
  const client = await connected((command, peer) => {
    if (command.execute === "qmp_capabilities") reply(peer, { return: {}, id: command.id });
    else held.push(() => reply(peer, { return: command.execute, id: command.id }));
    if (held.length === 2) for (const send of held.toReversed()) send();
  });
  await client.negotiate(2000);
  const answers = await Promise.all([client.execute("first", {}, 2000), client.execute("second", {}, 2000)]);
  assert.deepEqual(answers, ["first", "second"]);
  client.close();
});

test("qmp: a refusal carries QEMU's words", async () => {
  const client = await connected((command, peer) =>
    reply(peer, { error: { class: "GenericError", desc: "no such thing" }, id: command.id }),
  );
  await assert.rejects(
    client.execute("x", {}, 2000),
    (error: unknown) => PyroError.is(error) && error.message === "QEMU refused: no such thing",
  );
  client.close();
});

test("qmp: the event that matches is given, also when it comes before the command's answer and in pieces", async () => {
  const client = await connected((command, peer) => {
    const events = ["setup", "completed"].map((status) => ({ event: "MIGRATION", data: { status } }));
    const messages = [{ event: "STOP" }, ...events, { return: {}, id: command.id }];
    for (const character of messages.map((message) => `${JSON.stringify(message)}\n`).join("")) peer.write(character);
  });
  const event = client.nextEvent("MIGRATION", ({ status }) => status !== "setup", 2000);
  await client.execute("x", {}, 2000);
  assert.deepEqual(await event, { status: "completed" });
  client.close();
});

test("qmp: an event that never comes ends at the deadline, and at once with the connection", async () => {
  const silent = await connected(() => undefined);
  await assert.rejects(
    silent.nextEvent("MIGRATION", () => true, 50),
    { code: "vmm_failed" },
  );
  silent.close();
  const ending = await connected((_command, peer) => peer.destroy());
  const event = ending.nextEvent("MIGRATION", () => true, 60_000);
  await assert.rejects(ending.execute("x", {}, 60_000), { code: "vmm_failed" });
  await assert.rejects(event, { code: "vmm_failed" });
});

test("qmp: silence, an ended connection and an endless line are typed failures", async () => {
  const silent = await connected(() => undefined);
  await assert.rejects(silent.execute("x", {}, 50), { code: "vmm_failed" });
  silent.close();
  const ending = await connected((_command, peer) => peer.destroy());
  await assert.rejects(ending.execute("x", {}, 60_000), { code: "vmm_failed" });
  const endless = await connected((_command, peer) => peer.write("x".repeat(3 * 1024 * 1024)));
  await assert.rejects(endless.execute("x", {}, 60_000), /line of more than/);
});

test("qmp: whatever comes instead of QMP ends in a typed failure, never a crash", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ minLength: 1, maxLength: 200 }), async (garbage) => {
      const client = await connected((_command, peer) => peer.end(`${garbage}\n`));
      await assert.rejects(client.execute("x", {}, 5000), { code: "vmm_failed" });
    }),
    { numRuns: 100 },
  );
});
