import assert from "node:assert/strict";
import { PassThrough, Duplex } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { PyroError } from "../../../src/contract/error.ts";
import { AnswerFinder, greet } from "../../../src/guest/greeting.ts";

const NONCE = "0123456789abcdef0123456789abcdef";

/** Feeds `bytes` cut at `cuts` and gives what was found and where the rest begins. */
function find(bytes: Buffer, cuts: readonly number[]): { version: number; rest: string } | undefined {
  const finder = new AnswerFinder(NONCE);
  const edges = [
    0,
    ...[...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b),
    bytes.length,
  ];
  for (let index = 1; index < edges.length; index += 1) {
    const end = edges[index] ?? bytes.length;
    const found = finder.push(bytes.subarray(edges[index - 1], end));
    if (found !== undefined)
      return { version: found.version, rest: Buffer.concat([found.rest, bytes.subarray(end)]).toString("latin1") };
  }
  return undefined;
}

test("greeting: the answer is found after any stale bytes, however they are cut", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.array(fc.nat()),
      fc.string({ maxLength: 20 }),
      (stale, cuts, after) => {
        const bytes = Buffer.concat([stale, Buffer.from(`PYRO-AGENT/1 ${NONCE}\n${after}`)]);
        assert.deepEqual(find(bytes, cuts), { version: 1, rest: Buffer.from(after).toString("latin1") });
      },
    ),
  );
});

test("greeting: an answer to another nonce is stale", () => {
  const other = NONCE.replace("0", "f");
  assert.equal(find(Buffer.from(`PYRO-AGENT/1 ${other}\n`), []), undefined);
});

test("greeting: a flood without a line end is held in bounded memory and never found", () => {
  const finder = new AnswerFinder(NONCE);
  for (let index = 0; index < 1000; index += 1) assert.equal(finder.push(Buffer.alloc(65_536, 65)), undefined);
});

/** A peer that answers what `reply` makes of the greeting line. */
function peer(reply: (line: string) => string | undefined): Duplex {
  const toHost = new PassThrough();
  const duplex = Duplex.from({
    readable: toHost,
    writable: async (source: AsyncIterable<Buffer>) => {
      for await (const chunk of source) {
        const answer = reply(chunk.toString());
        if (answer === undefined) toHost.end();
        else toHost.write(answer);
      }
    },
  });
  duplex.on("error", () => undefined);
  return duplex;
}

const nonceOf = (line: string): string => line.trim().split(" ")[1] ?? "";

test("greeting: gives the version both speak", async () => {
  assert.equal(
    await greet(
      peer((line) => `garbage PYRO-AGENT/1 ${nonceOf(line)}\n`),
      2000,
    ),
    1,
  );
});

test("greeting: another version is refused by name", async () => {
  await assert.rejects(
    greet(
      peer((line) => `PYRO-AGENT/7 ${nonceOf(line)}\n`),
      2000,
    ),
    (error: unknown) => {
      assert.ok(PyroError.is(error));
      assert.equal(error.code, "protocol_mismatch");
      assert.match(error.message, /protocol 7/);
      return true;
    },
  );
});

test("greeting: silence ends at the deadline, an ended link at once", async () => {
  await assert.rejects(
    greet(
      peer(() => ""),
      50,
    ),
    { code: "guest_unreachable" },
  );
  await assert.rejects(
    greet(
      peer(() => undefined),
      60_000,
    ),
    { code: "guest_unreachable" },
  );
});

test("greeting: is sent again, with a nonce of its own, while it is not answered", async () => {
  const nonces = new Set<string>();
  const deafAtFirst = peer((line) => {
    nonces.add(nonceOf(line));
    return nonces.size < 2 ? "stale bytes without an answer" : `PYRO-AGENT/1 ${nonceOf(line)}\n`;
  });
  assert.equal(await greet(deafAtFirst, 20_000), 1);
  assert.equal(nonces.size, 2);
});
