import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { dialGuest, holdPorts } from "../../../src/vmm/firecracker/vsock.ts";

const root = await mkdtemp(join(tmpdir(), "pyro-fc-vsock-"));
const servers: Server[] = [];
after(async () => {
  for (const server of servers) server.close();
  await rm(root, { recursive: true });
});
let count = 0;

/** A Firecracker that does this with the first bytes of each connection; gives what those were. */
async function serve(answer: (peer: Socket, attempt: number) => void): Promise<{ path: string; heard: string[] }> {
  const heard: string[] = [];
  const server = createServer((peer) => {
    peer.on("error", () => undefined);
    peer.on("data", (chunk) => {
      heard.push(chunk.toString());
      if (chunk.toString().startsWith("CONNECT")) answer(peer, heard.length);
    });
  });
  servers.push(server);
  const path = join(root, `${(count += 1)}.sock`);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { path, heard };
}

test("vsock: connects to the port, and gives the stream from its first byte on", async () => {
  const { path, heard } = await serve((peer) => {
    // Byte by byte as a slow VMM might, the guest's first bytes in one piece with the end of the answer.
    peer.write("OK 10737");
    peer.write("41824\nfirst");
  });
  const stream = await dialGuest(path, 1024, 2000);
  // As a stream that was accepted paused, it stays so until it is told.
  const first = once(stream, "data");
  stream.resume();
  assert.equal(String((await first)[0]), "first");
  assert.deepEqual(heard, ["CONNECT 1024\n"]);
  stream.destroy();
});

test("vsock: a guest that refuses is dialled again, and nothing else is sent meanwhile", async () => {
  const { path, heard } = await serve((peer, attempt) => {
    if (attempt === 1) peer.end();
    else if (attempt === 2) peer.destroy();
    else peer.write("OK 1\n");
  });
  (await dialGuest(path, 7, 2000)).destroy();
  assert.deepEqual(heard, ["CONNECT 7\n", "CONNECT 7\n", "CONNECT 7\n"]);
});

test("vsock: a guest that refuses for ever, or never answers, is given up at the deadline", async () => {
  const refusing = await serve((peer) => peer.end());
  await assert.rejects(dialGuest(refusing.path, 1024, 100), { code: "guest_unreachable", message: /port 1024/ });
  const silent = await serve(() => undefined);
  await assert.rejects(dialGuest(silent.path, 1024, 100), { code: "guest_unreachable", message: /port 1024/ });
  assert.equal(silent.heard.length, 1);
});

test("vsock: what is no answer of Firecracker's is refused at once", async () => {
  for (const answer of ["HTTP/1.1 400 Bad Request\n", "OK\n", "x".repeat(10_000)]) {
    const { path, heard } = await serve((peer) => peer.write(answer));
    await assert.rejects(dialGuest(path, 1024, 5000), {
      code: "vmm_failed",
      message: /does not answer as Firecracker/,
    });
    assert.equal(heard.length, 1);
  }
});

test("vsock: a socket that is not there is no guest that may come", async () => {
  await assert.rejects(dialGuest(join(root, "none.sock"), 1024, 5000), {
    code: "guest_unreachable",
    message: /cannot be used/,
  });
});

test("vsock: the ports are held once the agent says so", async () => {
  const { path } = await serve((peer) => peer.write("OK 1\nHE", () => peer.write("LD\n")));
  (await holdPorts(path, 2000)).destroy();
  const other = await serve((peer) => peer.write("OK 1\nWHAT"));
  await assert.rejects(holdPorts(other.path, 2000), { code: "guest_failed" });
  const silent = await serve((peer) => peer.write("OK 1\n"));
  await assert.rejects(holdPorts(silent.path, 100), { code: "guest_unreachable" });
  const leaving = await serve((peer) => peer.end("OK 1\n"));
  await assert.rejects(holdPorts(leaving.path, 2000), { code: "guest_unreachable" });
});
