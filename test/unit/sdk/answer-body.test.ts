import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, get, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { ErrorEvent } from "@orpc/standard-server";
import { readBody } from "../../../src/sdk/answer-body.ts";

/** What a server answers with: pieces as they are written; `cut`: the connection ends before the answer does. */
interface Answer {
  readonly type: string;
  readonly pieces: readonly Buffer[];
  readonly cut?: boolean;
}

async function bodyOf<T>(answer: Answer, use: (body: unknown) => Promise<T>): Promise<T> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { "content-type": answer.type });
    const next = (index: number): void => {
      const piece = answer.pieces[index];
      if (piece !== undefined) response.write(piece, () => setImmediate(next, index + 1));
      else if (answer.cut === true) response.destroy();
      else response.end();
    };
    next(0);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const request = get({ port: (server.address() as AddressInfo).port, agent: false });
    const [response] = (await once(request, "response")) as [IncomingMessage];
    return await use(await readBody(response));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function eventsIn(body: unknown): Promise<{ events: unknown[]; result: unknown }> {
  const iterator = body as AsyncIterator<unknown>;
  const events: unknown[] = [];
  for (;;) {
    const { done, value } = await iterator.next();
    if (done === true) return { events, result: value };
    events.push(value);
  }
}

const EVENTS =
  ': \n\nevent: message\ndata: {"name":"ä"}\n\n: \n\nevent: message\ndata: 2\n\nevent: done\ndata: ["€"]\n\n';

test("answer body: events come as they were sent, wherever the pieces are cut, and end with the result", async () => {
  const all = Buffer.from(EVENTS);
  for (const size of [1, 2, 7, all.length]) {
    const pieces = Array.from({ length: Math.ceil(all.length / size) }, (_, index) =>
      all.subarray(index * size, (index + 1) * size),
    );
    const read = await bodyOf({ type: "text/event-stream", pieces }, eventsIn);
    assert.deepEqual(read, { events: [{ name: "ä" }, 2], result: ["€"] });
  }
});

test("answer body: an error event is thrown with its data, and events that end without a result give none", async () => {
  const failing = { type: "text/event-stream", pieces: [Buffer.from('event: error\ndata: {"json":1}\n\n')] };
  await assert.rejects(bodyOf(failing, eventsIn), (failure) => {
    assert.ok(failure instanceof ErrorEvent);
    assert.deepEqual(failure.data, { json: 1 });
    return true;
  });
  const silent = { type: "text/event-stream", pieces: [Buffer.from("event: message\ndata: 1\n\n")] };
  assert.deepEqual(await bodyOf(silent, eventsIn), { events: [1], result: undefined });
});

test("answer body: one that is cut is an error, in the middle of an event and between two", async () => {
  for (const text of ["event: message\ndata: 1\n\n", "event: done\ndata: "]) {
    const answer = { type: "text/event-stream", pieces: [Buffer.from(text)], cut: true };
    await assert.rejects(bodyOf(answer, eventsIn));
  }
  const ended = { type: "text/event-stream", pieces: [Buffer.from("event: done\ndata: 1\n")] };
  await assert.rejects(bodyOf(ended, eventsIn), { name: /Error/, message: /before complete/ });
});

test("answer body: JSON is read whole, and nothing is nothing", async () => {
  const json = [
    Buffer.from('{"a":"'),
    Buffer.from("ä").subarray(0, 1),
    Buffer.from("ä").subarray(1),
    Buffer.from('"}'),
  ];
  const value = async (body: unknown): Promise<unknown> => await Promise.resolve(body);
  assert.deepEqual(await bodyOf({ type: "application/json", pieces: json }, value), { a: "ä" });
  assert.equal(await bodyOf({ type: "application/json", pieces: [] }, value), undefined);
});
