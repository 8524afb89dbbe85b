import assert from "node:assert/strict";
import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { once } from "node:events";
import { openApi } from "../../../src/vmm/firecracker/api.ts";
import { connectInside } from "../../../src/vmm/firecracker/socket.ts";
import { dialGuest } from "../../../src/vmm/firecracker/vsock.ts";

const root = await mkdtemp(join(tmpdir(), "pyro-fc-socket-"));
const servers: Server[] = [];
after(async () => {
  for (const server of servers) server.close();
  await rm(root, { recursive: true });
});

/** A socket that counts its connections and answers each with "hello". */
async function listen(name: string): Promise<{ path: string; readonly connections: number }> {
  const path = join(root, name);
  const found = { path, connections: 0 };
  const server = createServer((socket) => {
    found.connections += 1;
    socket.on("error", () => undefined).end("hello");
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return found;
}

test("firecracker socket: a socket in the directory is connected to", async () => {
  const { path } = await listen("plain.sock");
  const socket = await connectInside(path);
  const [said] = (await once(socket, "data")) as [Buffer];
  assert.equal(said.toString(), "hello");
  socket.destroy();
});

test("firecracker socket: a link to another socket, and what is no socket, are refused, and nobody is spoken to", async () => {
  const stranger = await listen("stranger.sock");
  await symlink(stranger.path, join(root, "link.sock"));
  await writeFile(join(root, "file.sock"), "");
  for (const name of ["link.sock", "file.sock"]) {
    const path = join(root, name);
    await assert.rejects(connectInside(path), { code: "vmm_failed", message: /is not a socket/ });
    await assert.rejects(dialGuest(path, 1024, 1000), { code: "vmm_failed" });
    await assert.rejects(openApi(root, name, 1000), { code: "vmm_failed" });
  }
  assert.equal(stranger.connections, 0);
});

test("firecracker socket: one that is not there, and one that nobody listens on, fail as open(2) and connect(2) do", async () => {
  await assert.rejects(connectInside(join(root, "none.sock")), { code: "ENOENT" });
  const { path } = await listen("left.sock");
  // Node removes a socket that it closes, by its name.
  await rename(path, `${path}.moved`);
  await new Promise<void>((resolve) => void servers.pop()?.close(() => resolve()));
  await assert.rejects(connectInside(`${path}.moved`), { code: "ECONNREFUSED" });
});
