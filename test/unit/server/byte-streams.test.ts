import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { PassThrough, Readable, Writable } from "node:stream";
import { test } from "node:test";
import { streamOutputPath } from "../../../src/contract/wire.ts";
import { serverSocketPath } from "../../../src/host/paths.ts";
import { ByteStreams } from "../../../src/server/byte-streams.ts";
import { done, FakeHost } from "../../support/fake-host.ts";

const collected = (): { sink: Writable; bytes: () => Buffer } => {
  const pieces: Buffer[] = [];
  const sink = new Writable({
    write: (piece: Buffer, _encoding, taken) => {
      pieces.push(Buffer.from(piece));
      taken();
    },
  });
  return { sink, bytes: () => Buffer.concat(pieces) };
};

test("output streams go where they belong, every byte untouched, and the result holds none of them", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  const out = collected();
  const err = collected();
  const result = await pyro.run(
    { environment: "debian:12", command: ["binary"] },
    { stdout: out.sink, stderr: err.sink },
  );
  assert.deepEqual([...out.bytes()], [0xff, 0xfe, 0x00, 0x0a]);
  assert.equal(err.bytes().length, 0);
  assert.equal(result.stdout, "");
  assert.equal(result.exit_code, 0);
});

test("8 MiB of random input come back as they went", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  const input = randomBytes(8 * 1024 * 1024);
  const out = collected();
  await pyro.run(
    { environment: "debian:12", command: ["cat"] },
    { stdin: Readable.from([input.subarray(0, 1), input.subarray(1)]), stdout: out.sink },
  );
  assert.ok(out.bytes().equals(input));
});

test("input alone needs no output stream", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  const result = await pyro.run({ environment: "debian:12", command: ["cat"] }, { stdin: Readable.from(["hello"]) });
  assert.equal(result.stdout, "hello");
});

test("input that nobody reads does not keep a command that has ended", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  const silent = new PassThrough();
  const result = await pyro.run({ environment: "debian:12", command: ["true"] }, { stdin: silent });
  assert.equal(result.exit_code, 0);
});

test("input that cannot be read ends the call with that reason", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  const broken = new Readable({ read: () => undefined });
  const call = pyro.run(
    { environment: "debian:12", command: ["cat"] },
    { stdin: broken, onSignalable: () => broken.destroy(new Error("EIO")) },
  );
  await assert.rejects(call, { code: "invalid_argument", message: "standard input cannot be read" });
  await done(host, "close 000000000001");
});

test("a reader that stops stops the command, within a bounded amount of output", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  let taken = 0;
  let stalled: () => void = () => undefined;
  const hasStalled = new Promise<void>((resolve) => (stalled = resolve));
  const sink = new Writable({
    highWaterMark: 1,
    write: (piece: Buffer) => {
      taken += piece.length;
      stalled();
    },
  });
  const controller = new AbortController();
  const call = pyro.run(
    { environment: "debian:12", command: ["flood", String(1024 ** 3)] },
    { stdout: sink, signal: controller.signal },
  );
  await hasStalled;
  assert.ok(taken <= 1024 * 1024);
  assert.ok(process.memoryUsage().external < 256 * 1024 ** 2);
  controller.abort();
  await assert.rejects(call, { code: "cancelled" });
  await done(host, "close 000000000001");
});

test("a stream whose command never comes is let go, and one whose client never comes fails its command", async () => {
  const streams = new ByteStreams({ partnerDeadlineMs: 20 });
  await assert.rejects(streams.claim("0".repeat(32), { withOutput: true }), { code: "deadline_exceeded" });
  await assert.rejects(streams.claim("0".repeat(32), { withOutput: true }), { code: "invalid_argument" });
});

test("a stream can be opened once", async () => {
  await using host = new FakeHost();
  await host.serve();
  const id = "b".repeat(32);
  const open = async (): Promise<IncomingMessage> => {
    const call = request({
      socketPath: serverSocketPath(host.paths),
      path: streamOutputPath(id),
      headers: host.headers(),
    });
    call.end();
    return ((await once(call, "response")) as [IncomingMessage])[0];
  };
  const first = await open();
  assert.equal(first.statusCode, 200);
  assert.equal((await open()).statusCode, 409);
  first.destroy();
});
