import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { lstat, mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { SocketSlot } from "../../../src/vmm/socket-slot.ts";

const directory = await mkdtemp(join(tmpdir(), "pyro-slot-"));
after(async () => await rm(directory, { recursive: true }));
let count = 0;
const newPath = (): string => join(directory, `${(count += 1)}.sock`);

/** A peer that is connected and has said its name. */
async function peer(path: string, name: string): Promise<Socket> {
  const socket = connect(path);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.write(name);
  return socket;
}

async function firstWords(socket: Socket): Promise<string> {
  const words = once(socket, "data");
  socket.resume();
  return String((await words)[0]);
}

test("socket slot: a connection is taken, whether it comes before or after it is asked for", async () => {
  const slot = await SocketSlot.listen(newPath());
  const later = slot.take(5000);
  const first = await peer(slot.path, "first");
  const taken = await later;
  assert.equal(await firstWords(taken), "first");
  const second = await peer(slot.path, "second");
  const next = await slot.take(5000);
  assert.equal(await firstWords(next), "second");
  for (const socket of [first, second, taken, next]) socket.destroy();
  await slot.close();
});

test("socket slot: the newest connection is the one that waits, and an older one is closed", async () => {
  const slot = await SocketSlot.listen(newPath());
  const old = await peer(slot.path, "old");
  const closed = new Promise((resolve) => old.once("close", resolve));
  const young = await peer(slot.path, "young");
  old.resume();
  await closed;
  const taken = await slot.take(5000);
  assert.equal(await firstWords(taken), "young");
  young.destroy();
  taken.destroy();
  await slot.close();
});

test("socket slot: what lies at its path is replaced, and a link there leads nobody anywhere", async () => {
  const path = newPath();
  const first = await SocketSlot.listen(path);
  const target = join(directory, "target");
  await writeFile(target, "", { mode: 0o600 });
  const second = await SocketSlot.listen(path);
  await rm(path);
  await symlink(target, path);
  const third = await SocketSlot.listen(path);
  assert.equal((await lstat(path)).isSocket(), true);
  assert.equal((await stat(target)).mode & 0o777, 0o600);
  const connected = await peer(path, "peer");
  const taken = await third.take(5000);
  assert.equal(await firstWords(taken), "peer");
  for (const socket of [connected, taken]) socket.destroy();
  for (const slot of [first, second, third]) await slot.close();
});

test("socket slot: nobody comes, and it ends at the deadline; then it can be asked again", async () => {
  const slot = await SocketSlot.listen(newPath());
  await assert.rejects(slot.take(30), { code: "guest_unreachable" });
  const waiting = slot.take(5000);
  await assert.rejects(slot.take(5000), { code: "internal" });
  const late = await peer(slot.path, "late");
  (await waiting).destroy();
  late.destroy();
  await slot.close();
});

test("socket slot: closing it ends whoever waits at once, removes the socket, and leaves what was taken", async () => {
  const slot = await SocketSlot.listen(newPath());
  const connected = await peer(slot.path, "kept");
  const taken = await slot.take(5000);
  const waiting = assert.rejects(slot.take(600_000), { code: "guest_unreachable" });
  await slot.close();
  await waiting;
  await assert.rejects(slot.take(600_000), { code: "guest_unreachable" });
  assert.equal(existsSync(slot.path), false);
  assert.equal(await firstWords(taken), "kept");
  connected.destroy();
  taken.destroy();
  await slot.close();
});

test("socket slot: a follower gets every connection, one after the other", async () => {
  const seen: Promise<string>[] = [];
  const slot = await SocketSlot.listen(newPath(), (socket) => seen.push(firstWords(socket)));
  for (const name of ["one", "two"]) {
    const socket = await peer(slot.path, name);
    while (!seen.length) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await seen.shift(), name);
    socket.destroy();
  }
  await slot.close();
});

test("socket slot: a path that the kernel would cut off is refused by name", async () => {
  const path = join(directory, "x".repeat(120));
  await assert.rejects(SocketSlot.listen(path), (failure: unknown) => {
    assert.ok(PyroError.is(failure));
    assert.equal(failure.code, "invalid_state");
    assert.match(failure.remedy ?? "", /PYRO_RUNTIME_DIR/);
    return true;
  });
});
