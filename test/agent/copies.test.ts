/** Copies to and from workspaces on the host's side, with the real pyro-seed and guests that are none. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { PyroError } from "../../src/contract/error.ts";
import { PullResponseSchema } from "../../src/guest/generated/pyro/agent/v1/agent_pb.ts";
import { openGuestLink } from "../../src/guest/link.ts";
import { guestFiles, type MachineFiles } from "../../src/machine/guest-files.ts";
import { exportArchive, exportTo } from "../../src/workspace/files/export.ts";
import { syncPush } from "../../src/workspace/files/sync.ts";
import { exportParts, giving, streamOf } from "../support/given-trees.ts";
import {
  endCall,
  GRPC_HEADERS,
  grpcMessage,
  type HostileAgent,
  hostileAgent,
  http2Method,
} from "../support/hostile-agent.ts";

const DEADLINE_MS = 5000;

let root = "";
let beside: string[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "pyro-copies-"));
  mkdirSync(join(root, "source"));
  writeFileSync(join(root, "source", "file"), "content");
  mkdirSync(join(root, "out"));
  beside = [];
});
const agents: HostileAgent[] = [];
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.close();
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const stream = (): Buffer => streamOf(join(root, "source"));

const parts = (files: MachineFiles): ReturnType<typeof exportParts> => exportParts(files, join(root, "state"));

const target = (): string => join(root, "out", "target");
const order = (overwrite = false): Parameters<typeof exportTo>[0] => ({
  paths: [Buffer.from("file")],
  target: target(),
  overwrite,
  umask: 0o022,
});

const refused = async (work: Promise<unknown>, code: string): Promise<void> =>
  await assert.rejects(work, (failure: unknown) => {
    assert.ok(PyroError.is(failure) && failure.code === code, String(failure));
    return true;
  });

test("exports: what a guest gives is there whole, in pieces of any size", async () => {
  const whole = stream();
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: whole.length }), async (size) => {
      const pieces = Array.from({ length: Math.ceil(whole.length / size) }, (_, at) =>
        whole.subarray(at * size, (at + 1) * size),
      );
      const { kind, entries, bytes } = await exportTo(order(true), parts(giving(pieces)));
      assert.deepEqual([kind, entries, bytes], ["file", 1, 7]);
      assert.equal(readFileSync(target(), "utf8"), "content");
    }),
    { numRuns: 10 },
  );
  assert.deepEqual(readdirSync(join(root, "out")), ["target"]);
});

test("exports: a guest that stops, lies or fails leaves the old target, and nothing beside it", async () => {
  writeFileSync(target(), "old");
  symlinkSync("/etc", join(root, "source", "more"));
  const [one, two] = [stream(), stream().subarray(0, 30)];
  for (const [pieces, failure, code] of [
    [[one], undefined, "guest_failed"],
    [[two], undefined, "guest_failed"],
    [[], undefined, "guest_failed"],
    [[Buffer.alloc(4096, 0xff)], undefined, "guest_failed"],
    [[two], new PyroError("guest_unreachable", "the guest went away"), "guest_unreachable"],
    [[two], new PyroError("cancelled", "the caller went away"), "cancelled"],
  ] as const) {
    await refused(exportTo(order(true), parts(giving(pieces, failure))), code);
    assert.equal(readFileSync(target(), "utf8"), "old");
    assert.deepEqual(readdirSync(join(root, "out")), ["target"]);
  }
});

test("exports: random changes of a stream leave the old target or a whole new one", async () => {
  const whole = stream();
  const change = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      writeFileSync(target(), "old");
      const altered = Buffer.from(whole);
      for (const { at, byte } of changes) altered[at] = byte;
      const done = await exportTo(order(true), parts(giving([altered]))).then(
        () => true,
        () => false,
      );
      if (!done) assert.equal(readFileSync(target(), "utf8"), "old");
      assert.deepEqual(readdirSync(join(root, "out")), ["target"]);
      rmSync(target(), { recursive: true });
    }),
    { numRuns: 20 },
  );
});

test("exports: what is there, what cannot be made and what would be there twice is refused before the guest is asked", async () => {
  const files = giving([], new PyroError("internal", "it was asked"));
  writeFileSync(target(), "old");
  await refused(exportTo(order(), parts(files)), "already_exists");
  await refused(exportTo({ ...order(), target: "relative" }, parts(files)), "invalid_argument");
  await refused(exportTo({ ...order(), target: join(target(), "below") }, parts(files)), "permission_denied");
  const twice = [Buffer.from("a/name"), Buffer.from("b/name")];
  await refused(exportTo({ ...order(), paths: twice, target: join(root, "new") }, parts(files)), "invalid_argument");
});

test("exports: an archive is one that tar reads, and a stream that breaks off is none", async () => {
  const pieces: Uint8Array[] = [];
  const take = (data: Uint8Array): void => void pieces.push(data);
  await exportArchive([Buffer.from("file")], take, parts(giving([stream()])));
  const listed = execFileSync("tar", ["tf", "-"], { input: Buffer.concat(pieces), encoding: "utf8" });
  assert.equal(listed, "file\n");
  await refused(exportArchive([Buffer.from("file")], take, parts(giving([stream().subarray(0, 40)]))), "guest_failed");
});

test("exports: an agent that never ends a tree, or ends it twice, is not believed", async () => {
  const message = (fields: { data?: Uint8Array; end?: object }): Buffer =>
    grpcMessage(toBinary(PullResponseSchema, create(PullResponseSchema, fields)));
  for (const messages of [
    [message({ data: stream() })],
    [message({ data: stream(), end: {} }), message({ data: Buffer.from("more") })],
  ]) {
    const agent = await hostileAgent(
      http2Method("Pull", (call) => {
        call.respond(GRPC_HEADERS, { waitForTrailers: true });
        for (const each of messages) call.write(each);
        endCall(call);
      }),
    );
    agents.push(agent);
    const link = await openGuestLink(await agent.connect(), DEADLINE_MS);
    await refused(exportTo(order(), parts(guestFiles(link))), "guest_failed");
    assert.deepEqual(readdirSync(join(root, "out")), []);
    link.close();
  }
});

/** Takes what is pushed, and says whether it came whole. */
const taking = (): MachineFiles => ({
  ...giving([]),
  push: async (_destination, pieces) => {
    const taken: Uint8Array[] = [];
    for await (const piece of pieces) taken.push(piece);
    beside.push(Buffer.concat(taken).equals(stream()) ? "whole" : "another");
    return { volume: { workspaceGeneration: 1, totalBytes: 1, usedBytes: 1 }, entries: 1, bytes: 7, replaced: 0 };
  },
});

const push = async (files: MachineFiles): Promise<unknown> =>
  await syncPush(
    { source: join(root, "source"), destination: Buffer.alloc(0), ignoring: false },
    { ...parts(files), scratch: root },
  );

test("syncs: a source that is read well is given whole, and one that is not never to its end", async () => {
  await push(taking());
  assert.deepEqual(beside, ["whole"]);
  if (process.getuid?.() !== 0) {
    chmodSync(join(root, "source", "file"), 0);
    await refused(push(taking()), "permission_denied");
    chmodSync(join(root, "source", "file"), 0o644);
  }
  // Something goes on writing while it is read.
  const large = join(root, "source", "large");
  writeFileSync(large, Buffer.alloc(64 * 1024 ** 2));
  const files = taking();
  const changing: MachineFiles = {
    ...files,
    push: async (destination, pieces, signal) => {
      let count = 0;
      const touched = async function* (): AsyncGenerator<Uint8Array> {
        for await (const piece of pieces) {
          if (count === 0) writeFileSync(large, "short");
          count += 1;
          yield piece;
        }
      };
      return await files.push(destination, touched(), signal);
    },
  };
  await refused(push(changing), "invalid_state");
  assert.deepEqual(beside, ["whole"]);
});

test("syncs: what the guest refuses is what is said, and nothing is left", async () => {
  const files = giving([]);
  const refusing: MachineFiles = {
    ...files,
    push: async () => await Promise.reject(new PyroError("invalid_state", "a file is a directory")),
  };
  await refused(push(refusing), "invalid_state");
  assert.deepEqual(readdirSync(root).toSorted(), ["out", "source"]);
});
