import assert from "node:assert/strict";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { type ApiCall, openApi } from "../../../src/vmm/firecracker/api.ts";

const root = await mkdtemp(join(tmpdir(), "pyro-fc-api-"));
const servers: Server[] = [];
after(async () => {
  for (const server of servers) server.close();
  await rm(root, { recursive: true });
});
let count = 0;

const CALL: ApiCall = { method: "PUT", path: "/actions", body: { action_type: "InstanceStart" } };

async function directory(): Promise<string> {
  const path = join(root, String((count += 1)));
  await mkdir(path);
  return path;
}

/** A Firecracker that does this with every request it has read whole; gives the requests so far. */
async function serve(place: string, answer: (peer: Socket, request: string) => void): Promise<string[]> {
  const requests: string[] = [];
  const server = createServer((peer) => {
    peer.on("error", () => undefined);
    let text = "";
    peer.on("data", (chunk) => {
      text += chunk.toString();
      if (!text.endsWith("}")) return;
      requests.push(text);
      answer(peer, text);
      text = "";
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(join(place, "api.sock"), resolve));
  return requests;
}

const respond = (peer: Socket, status: string, body = ""): boolean =>
  peer.write(`HTTP/1.1 ${status}\r\nServer: Firecracker API\r\nContent-Length: ${body.length}\r\n\r\n${body}`);

test("firecracker API: a socket that appears late is waited for, and each call is made once", async () => {
  const place = await directory();
  const opening = openApi(place, "api.sock", 5000);
  // Something else in the directory is not the socket.
  await writeFile(join(place, "other"), "");
  const requests = await serve(place, (peer) => respond(peer, "204 No Content"));
  const api = await opening;
  await api.call(CALL, 2000);
  await api.call({ method: "PATCH", path: "/vm", body: { state: "Paused" } }, 2000);
  api.close();
  assert.deepEqual(
    requests.map((request) => [request.split("\r\n")[0], request.split("\r\n").at(-1)]),
    [
      ["PUT /actions HTTP/1.1", '{"action_type":"InstanceStart"}'],
      ["PATCH /vm HTTP/1.1", '{"state":"Paused"}'],
    ],
  );
});

test("firecracker API: a socket that never appears is given up at the deadline", async () => {
  await assert.rejects(openApi(await directory(), "api.sock", 100), {
    code: "vmm_failed",
    message: /did not open its API socket within 100 ms/,
  });
});

test("firecracker API: a socket whose listener has gone is given up at the deadline", async () => {
  const place = await directory();
  await serve(place, () => undefined);
  // Node removes a socket that it closes, by its name.
  await rename(join(place, "api.sock"), join(place, "left.sock"));
  await new Promise<void>((resolve) => void servers.pop()?.close(() => resolve()));
  await assert.rejects(openApi(place, "left.sock", 100), { code: "vmm_failed", message: /within 100 ms/ });
});

test("firecracker API: what is no socket is refused at once", async () => {
  const place = await directory();
  await writeFile(join(place, "api.sock"), "");
  await assert.rejects(openApi(place, "api.sock", 5000), { code: "vmm_failed", message: /is not a socket/ });
});

test("firecracker API: a refusal carries Firecracker's own words", async () => {
  const place = await directory();
  await serve(place, (peer) => respond(peer, "400 Bad Request", '{"fault_message":"no such drive"}'));
  const api = await openApi(place, "api.sock", 2000);
  await assert.rejects(api.call(CALL, 2000), (error: unknown) => {
    assert.ok(PyroError.is(error));
    assert.equal(error.message, "Firecracker refused PUT /actions");
    assert.deepEqual(error.evidence, { status: 400, fault_message: "no such drive" });
    return true;
  });
  await assert.rejects(api.call(CALL, 2000), { message: /refused/ }, "and the next call is made");
});

test("firecracker API: a refusal for want of memory is told apart, with what mends it", async () => {
  const place = await directory();
  const fault = "Load snapshot error: Cannot create memory region: Cannot allocate memory (os error 12)";
  await serve(place, (peer) => respond(peer, "400 Bad Request", JSON.stringify({ fault_message: fault })));
  const api = await openApi(place, "api.sock", 2000);
  await assert.rejects(api.call(CALL, 2000), { code: "resource_exhausted", remedy: /memory/ });
});

const MISBEHAVIOURS: Readonly<Record<string, { act: (peer: Socket) => void; message: RegExp }>> = {
  "answers garbage": { act: (peer) => peer.write("garbage\r\n\r\n"), message: /that is HTTP/ },
  "closes without an answer": { act: (peer) => peer.end(), message: /that is HTTP/ },
  "cuts its answer off": {
    act: (peer) => peer.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
    message: /that is HTTP/,
  },
  "answers without end": {
    act: (peer) => {
      peer.write("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
      peer.write(Buffer.alloc(1024 * 1024, 65));
    },
    message: /that is HTTP/,
  },
  hangs: { act: () => undefined, message: /did not answer PUT \/actions within 200 ms/ },
  "hangs in the middle of its answer": {
    act: (peer) => peer.write("HTTP/1.1 200 OK\r\nContent-Len"),
    message: /did not answer PUT \/actions within 200 ms/,
  },
};

for (const [name, { act, message }] of Object.entries(MISBEHAVIOURS)) {
  test(`firecracker API: one that ${name} fails the call, which is not made again`, async () => {
    const place = await directory();
    const requests = await serve(place, act);
    const api = await openApi(place, "api.sock", 2000);
    await assert.rejects(api.call(CALL, 200), { code: "vmm_failed", message });
    api.close();
    assert.equal(requests.length, 1);
  });
}
