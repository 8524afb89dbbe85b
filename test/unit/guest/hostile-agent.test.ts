/** Whatever the agent does ends in a typed error within its deadline, in bounded memory, and hurts no other link. */
import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { afterEach, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { PyroError } from "../../../src/contract/error.ts";
import { followCommand } from "../../../src/guest/exec.ts";
import {
  AfterEnd,
  ExitSchema,
  type Exit,
  OutputSchema,
  Stream,
} from "../../../src/guest/generated/pyro/agent/v1/agent_pb.ts";
import { type GuestLink, guestError, openGuestLink } from "../../../src/guest/link.ts";
import {
  attachMessage,
  endCall,
  GRPC_HEADERS,
  greeted,
  grpcMessage,
  type HostileAgent,
  hostileAgent,
  http2Method,
} from "../../support/hostile-agent.ts";

const DEADLINE_MS = 5000;
const agents: HostileAgent[] = [];
const links: GuestLink[] = [];
afterEach(async () => {
  for (const link of links.splice(0)) link.close();
  for (const agent of agents.splice(0)) await agent.close();
});

async function socketOf(script: (socket: Socket) => void): Promise<Socket> {
  const agent = await hostileAgent(script);
  agents.push(agent);
  return await agent.connect();
}

async function linkTo(script: (socket: Socket) => void): Promise<GuestLink> {
  const link = await openGuestLink(await socketOf(script), DEADLINE_MS);
  links.push(link);
  return link;
}

/** Follows a command of an agent that answers Attach by `answer`. */
async function follow(answer: (stream: ServerHttp2Stream) => void, seen: Buffer[] = []): Promise<Exit> {
  const link = await linkTo(
    http2Method("Attach", (stream) => {
      stream.respond(GRPC_HEADERS, { waitForTrailers: true });
      answer(stream);
    }),
  );
  return await followCommand(link.agent, "id", { onOutput: (_stream, data) => void seen.push(Buffer.from(data)) });
}

const output = (offset: bigint, data: Uint8Array): Buffer =>
  attachMessage({ case: "output", value: create(OutputSchema, { stream: Stream.STDOUT, offset, data }) });

const ended = (): Buffer =>
  attachMessage({ case: "exit", value: create(ExitSchema, { outcome: { case: "code", value: 0 } }) });

test("hostile agent: endless bytes before the greeting end at the deadline, in bounded memory", async () => {
  const flood = Buffer.alloc(1024 * 1024, "PYRO-AGENT/1 ");
  const socket = await socketOf((peer) => {
    const write = (): void => {
      while (peer.writable && peer.write(flood));
    };
    peer.on("drain", write);
    write();
  });
  const before = process.memoryUsage().rss;
  await assert.rejects(openGuestLink(socket, 1000), { code: "guest_unreachable" });
  assert.ok(process.memoryUsage().rss - before < 128 * 1024 * 1024);
  assert.ok(socket.bytesRead > 10 * flood.length, "the flood came through");
  assert.ok(socket.destroyed);
});

test("hostile agent: silence, a wrong nonce and an end are no greeting", async () => {
  const silent = await socketOf((peer) => peer.resume());
  await assert.rejects(openGuestLink(silent, 100), { code: "guest_unreachable" });
  const wrong = await socketOf((peer) => peer.once("data", () => peer.write(`PYRO-AGENT/1 ${"0".repeat(32)}\n`)));
  await assert.rejects(openGuestLink(wrong, 100), { code: "guest_unreachable" });
  const gone = await socketOf((peer) => peer.end());
  await assert.rejects(openGuestLink(gone, 60_000), { code: "guest_unreachable" });
  gone.destroy();
  await assert.rejects(openGuestLink(gone, 60_000), { code: "guest_unreachable" });
});

test("hostile agent: garbage instead of HTTP/2 is a typed error, whatever it is", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 500 }), async (garbage) => {
      const link = await linkTo(greeted((socket) => void socket.end(garbage)));
      await assert.rejects(
        link.agent.describe({}, { timeoutMs: DEADLINE_MS }).catch((failure: unknown) => {
          throw guestError(failure, "describe");
        }),
        (failure: unknown) => PyroError.is(failure) && failure.code.startsWith("guest_"),
      );
      link.close();
    }),
    { numRuns: 50 },
  );
});

test("hostile agent: a lost link is not replaced by a second one on the same stream", async () => {
  const link = await linkTo(greeted((socket) => void socket.destroy()));
  for (let round = 0; round < 2; round += 1) {
    await assert.rejects(
      link.agent.describe({}).catch((failure: unknown) => {
        throw guestError(failure, "describe");
      }),
      { code: "guest_unreachable" },
    );
  }
});

test("hostile agent: output that leaves a gap, or comes twice, is refused", async () => {
  const seen: Buffer[] = [];
  for (const second of [0n, 2n, 4n]) {
    const following = follow((stream) => {
      stream.write(output(0n, Buffer.from("abc")));
      stream.write(output(second, Buffer.from("def")));
    }, seen);
    await assert.rejects(following, { code: "guest_failed" });
  }
  assert.equal(Buffer.concat(seen).toString(), "abcabcabc", "nothing of it was passed on");
});

test("hostile agent: a message over the limit is refused before it is held", async () => {
  const before = process.memoryUsage().rss;
  const following = follow((stream) => {
    stream.write(grpcMessage(Buffer.alloc(16), 0xffffffff));
    const more = Buffer.alloc(1024 * 1024);
    const write = (): void => {
      while (!stream.destroyed && stream.write(more));
    };
    stream.on("drain", write);
    write();
  });
  await assert.rejects(following, PyroError.is);
  assert.ok(process.memoryUsage().rss - before < 128 * 1024 * 1024);
});

test("hostile agent: an end of the stream that is not the command's is said, broken messages too", async () => {
  await assert.rejects(follow(endCall), { code: "guest_unreachable" });
  await assert.rejects(
    follow((stream) => {
      stream.write(grpcMessage(Buffer.from([0xff, 0xff, 0xff])));
      endCall(stream);
    }),
    PyroError.is,
  );
  await assert.rejects(
    follow((stream) => {
      stream.write(output(0n, Buffer.from("abc")).subarray(0, 7));
      stream.session?.destroy();
    }),
    PyroError.is,
  );
});

test("hostile agent: what comes after the command's end is not listened to", async () => {
  const seen: Buffer[] = [];
  const exit = await follow((stream) => {
    stream.write(ended());
    const write = (): void => {
      while (!stream.destroyed && stream.write(output(0n, Buffer.alloc(500_000))));
    };
    stream.on("drain", write);
    write();
  }, seen);
  assert.deepEqual(exit.outcome, { case: "code", value: 0 });
  assert.equal(seen.length, 0);
});

test("hostile agent: one that never answers hurts no other link", async () => {
  const silent = await linkTo(http2Method("Nothing", () => undefined));
  const stuck = followCommand(silent.agent, "id", { onOutput: () => undefined });
  const exit = await follow((stream) => stream.write(ended()));
  assert.deepEqual(exit.outcome, { case: "code", value: 0 });
  silent.close();
  await assert.rejects(stuck, { code: "guest_unreachable" });
});

test("hostile agent: a reader who stops reading lets only a window of output in", async () => {
  let sent = 0;
  const link = await linkTo(
    http2Method("Attach", (stream) => {
      stream.respond(GRPC_HEADERS);
      const data = Buffer.alloc(500_000);
      const write = (): void => {
        while (!stream.destroyed) {
          const more = stream.write(output(BigInt(sent), data));
          sent += data.length;
          if (!more) break;
        }
      };
      stream.on("drain", write);
      write();
    }),
  );
  let waiting: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => (waiting = resolve));
  const stopped = new AbortController();
  const following = followCommand(link.agent, "id", {
    signal: stopped.signal,
    onOutput: async () => {
      waiting();
      await new Promise<void>((resolve) => stopped.signal.addEventListener("abort", () => resolve()));
    },
  });
  await reached;
  // Another link's round trips are time enough for a flood.
  for (let round = 0; round < 50; round += 1) await follow((stream) => stream.write(ended()));
  assert.ok(sent < 16 * 1024 * 1024, `${sent} bytes were sent`);
  stopped.abort();
  await assert.rejects(following, PyroError.is);
});

test("hostile agent: one that does not say whether it has started a command is given up at the deadline", async () => {
  const link = await linkTo(http2Method("Attach", (stream) => stream.respond(GRPC_HEADERS)));
  let isStarted = false;
  const following = followCommand(link.agent, "id", {
    start: {
      request: { execId: "id" },
      afterEnd: AfterEnd.RELEASE,
      deadlineMs: 50,
      onStarted: () => (isStarted = true),
    },
    onOutput: () => undefined,
  });
  await assert.rejects(following, { code: "guest_unreachable", message: /does not say whether it has started/ });
  assert.equal(isStarted, false);
});
