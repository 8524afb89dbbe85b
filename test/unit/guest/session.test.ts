/** What the host grants the agent in advance, and what one call's unread bytes mean for the others. */
import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { afterEach, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { followCommand } from "../../../src/guest/exec.ts";
import { ExitSchema, OutputSchema, Stream } from "../../../src/guest/generated/pyro/agent/v1/agent_pb.ts";
import { type AgentClient, openGuestLink } from "../../../src/guest/link.ts";
import {
  attachMessage,
  GRPC_HEADERS,
  type HostileAgent,
  hostileAgent,
  http2Method,
} from "../../support/hostile-agent.ts";

const DEADLINE_MS = 5000;
const MIB = 1024 * 1024;
const agents: HostileAgent[] = [];
const closers: (() => void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  for (const agent of agents.splice(0)) await agent.close();
});

async function linkTo(attach: (stream: ServerHttp2Stream) => void): Promise<AgentClient> {
  const agent = await hostileAgent(
    http2Method("Attach", (stream) => {
      stream.respond(GRPC_HEADERS);
      attach(stream);
    }),
  );
  agents.push(agent);
  const link = await openGuestLink(await agent.connect(), DEADLINE_MS);
  closers.push(link.close);
  return link.agent;
}

const end = (stream: ServerHttp2Stream): void =>
  void stream.write(
    attachMessage({ case: "exit", value: create(ExitSchema, { outcome: { case: "code", value: 0 } }) }),
  );

test("guest session: the agent may send MiBs before it has to hear from the host", async () => {
  let grantedBytes = 0;
  const agent = await linkTo((stream) => {
    grantedBytes = stream.session?.state.remoteWindowSize ?? 0;
    end(stream);
  });
  await followCommand(agent, "id", { onOutput: () => undefined });
  assert.ok(grantedBytes > 15 * MIB, `${grantedBytes} bytes were granted`);
});

test("guest session: readers who stop reading hold up no other call of their link", async () => {
  let calls = 0;
  const READERS = 6;
  const agent = await linkTo((stream) => {
    calls += 1;
    if (calls > READERS) {
      end(stream);
      return;
    }
    let offset = 0;
    const data = Buffer.alloc(500_000);
    const write = (): void => {
      for (let more = true; more && !stream.destroyed; offset += data.length)
        more = stream.write(
          attachMessage({
            case: "output",
            value: create(OutputSchema, { stream: Stream.STDOUT, offset: BigInt(offset), data }),
          }),
        );
    };
    stream.on("drain", write);
    write();
  });
  const stopped = new AbortController();
  closers.push(() => stopped.abort());
  for (let reader = 0; reader < READERS; reader += 1) {
    // Together more than the window of the whole link, each with the full window of its own.
    await new Promise<void>((resolve) => {
      followCommand(agent, "id", {
        signal: stopped.signal,
        onOutput: async () => {
          resolve();
          await new Promise<void>((free) => stopped.signal.addEventListener("abort", () => free()));
        },
      }).catch(() => undefined);
    });
  }
  // Each is at the end of its window once a round trip brings nothing more; the last call shows that there is one.
  for (let round = 0; round < 50; round += 1) {
    const exit = await followCommand(agent, "id", { onOutput: () => undefined });
    assert.deepEqual(exit.outcome, { case: "code", value: 0 });
  }
});

test("guest session: short pieces are acknowledged before they fill the agent's memory", async () => {
  const AGENT_LOG_BYTES = 4 * MIB;
  const AGENT_PIECE_OVERHEAD_BYTES = 64;
  const pieces = Math.floor(AGENT_LOG_BYTES / (1 + AGENT_PIECE_OVERHEAD_BYTES));
  let requestBytes = 0;
  const agent = await linkTo((stream) => {
    let placeBytes = 0;
    // The first message names the place; the agent goes on only when another one comes.
    stream.on("data", (data: Buffer) => {
      requestBytes += data.length;
      if (placeBytes === 0) placeBytes = requestBytes;
      else end(stream);
    });
    const output = (offset: number): Buffer =>
      attachMessage({
        case: "output",
        value: create(OutputSchema, { stream: Stream.STDOUT, offset: BigInt(offset), data: Buffer.from("x") }),
      });
    stream.write(Buffer.concat(Array.from({ length: pieces }, (_, offset) => output(offset))));
  });
  let taken = 0;
  const signal = AbortSignal.timeout(DEADLINE_MS * 2);
  const exit = await followCommand(agent, "id", { signal, onOutput: (_stream, data) => void (taken += data.length) });
  assert.deepEqual(exit.outcome, { case: "code", value: 0 });
  assert.equal(taken, pieces);
});
