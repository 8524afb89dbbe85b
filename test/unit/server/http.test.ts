import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, existsSync, lstatSync, mkdirSync, symlinkSync } from "node:fs";
import { createServer, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { BUILD_VERSION } from "../../../src/contract/version.ts";
import { REQUEST_BYTES_MAX, SETTINGS_HEADER, VERSION_HEADER } from "../../../src/contract/wire.ts";
import { serverSocketPath } from "../../../src/host/paths.ts";
import { claimPrivateDirectory } from "../../../src/host/private-directory.ts";
import { listenOnSocket } from "../../../src/server/socket.ts";
import { FakeHost } from "../../support/fake-host.ts";

interface Sent {
  readonly method?: string;
  readonly body?: string | Buffer;
  readonly headers?: Record<string, string>;
}

async function send(
  host: FakeHost,
  path: string,
  { method = "POST", body, headers = {} }: Sent = {},
): Promise<{ status: number; body: string; message: IncomingMessage }> {
  const call = request({
    socketPath: serverSocketPath(host.paths),
    path,
    method,
    headers: { ...host.headers(), "content-type": "application/json", ...headers },
  });
  call.end(body);
  const [message] = (await once(call, "response")) as [IncomingMessage];
  let text = "";
  for await (const piece of message) text += String(piece);
  return { status: message.statusCode ?? 0, body: text, message };
}

const codeOf = (body: string): string => (JSON.parse(body) as { error: { code: string } }).error.code;

test("the socket is private and only there under its own name", async () => {
  await using host = new FakeHost();
  const server = await host.serve();
  const socket = serverSocketPath(host.paths);
  assert.ok(lstatSync(socket).isSocket());
  assert.equal(lstatSync(host.paths.runtime).mode & 0o777, 0o700);
  await server.stop();
  assert.equal(existsSync(socket), false);
});

test("garbage, unknown paths and wrong methods are refused, and the server goes on", async () => {
  await using host = new FakeHost();
  await host.serve();
  const socket = connect(serverSocketPath(host.paths));
  socket.end("\u0000\u0001 this is not HTTP\r\n\r\n");
  socket.resume();
  await once(socket, "close");
  assert.equal((await send(host, "/nothing")).status, 404);
  assert.equal((await send(host, "/rpc/env/nothing", { body: "{}" })).status, 404);
  assert.equal((await send(host, "/rpc/../run", { body: "{}" })).status, 404);
  assert.equal((await send(host, `/streams/${"a".repeat(32)}/output`, { method: "POST" })).status, 405);
  assert.equal((await send(host, "/streams/short/output", { method: "GET" })).status, 404);
  assert.equal((await send(host, "/rpc/env/list", { method: "GET" })).status, 404);
  const answer = await send(host, "/rpc/env/list", { body: JSON.stringify({ json: {} }) });
  assert.equal(answer.status, 200);
  assert.equal(answer.message.headers[VERSION_HEADER], BUILD_VERSION);
});

test("a body that is no JSON, too large or of another kind does nothing", async () => {
  await using host = new FakeHost();
  await host.serve();
  const notJson = await send(host, "/rpc/run", { body: "environment=debian" });
  assert.equal(notJson.status, 400);
  assert.equal(codeOf(notJson.body), "invalid_argument");
  const form = await send(host, "/rpc/run", {
    body: "--x\r\n\r\n",
    headers: { "content-type": "multipart/form-data; boundary=x" },
  });
  assert.equal(form.status, 400);
  const pyro = host.pyro();
  await assert.rejects(
    pyro.run({ environment: "debian:12", command: ["true"], cwd: `/${"x".repeat(REQUEST_BYTES_MAX)}` }),
    { code: "invalid_argument" },
  );
  pyro.close();
  assert.deepEqual(host.machines.history, []);
});

test("an endless body is cut off at the limit", async () => {
  await using host = new FakeHost();
  await host.serve();
  const call = request({
    socketPath: serverSocketPath(host.paths),
    path: "/rpc/run",
    method: "POST",
    headers: host.headers(),
  });
  const ended = new Promise<void>((settle) => {
    call.once("error", () => settle());
    call.once("response", (response: IncomingMessage) => {
      assert.equal(response.statusCode, 400);
      response.resume();
      settle();
    });
  });
  const piece = Buffer.alloc(1024 * 1024, 0x20);
  for (let sent = 0; sent < 2 * REQUEST_BYTES_MAX && !call.destroyed; sent += piece.length) {
    if (call.write(piece)) continue;
    const drained = new AbortController();
    await Promise.race([once(call, "drain", drained).catch(() => undefined), ended]);
    drained.abort();
  }
  await ended;
  call.destroy();
  assert.deepEqual(host.machines.history, []);
});

test("a field that no operation has is refused, not ignored", async () => {
  await using host = new FakeHost();
  await host.serve();
  const pyro = host.pyro();
  const mistyped = { environment: "debian:12", command: ["true"], timeoutSeconds: 1 };
  await assert.rejects(
    pyro.run(mistyped),
    (failure: unknown) =>
      PyroError.is(failure) && failure.code === "invalid_argument" && failure.message.includes("timeoutSeconds"),
  );
  pyro.close();
});

test("a client of another version, or with other settings, is told so before anything is done for it", async () => {
  await using host = new FakeHost();
  await host.serve();
  const body = JSON.stringify({ json: { environment: "debian:12", command: ["true"] } });
  const other = { [VERSION_HEADER]: "9.9.9", [SETTINGS_HEADER]: "PYRO_MACHINE=0" };
  for (const [header, status] of [
    [VERSION_HEADER, 426],
    [SETTINGS_HEADER, 412],
  ] as const) {
    const answer = await send(host, "/rpc/run", { body, headers: { [header]: other[header] } });
    assert.equal(answer.status, status);
    assert.equal(answer.message.headers[header], host.headers()[header], "the server says what it has");
  }
  assert.deepEqual(host.machines.history, []);
  const status = await send(host, "/rpc/server/status", { body: JSON.stringify({ json: {} }), headers: other });
  assert.equal(status.status, 200);
});

test("a runtime directory that is not ours alone is not used", async () => {
  await using host = new FakeHost();
  mkdirSync(host.paths.runtime, { mode: 0o755 });
  chmodSync(host.paths.runtime, 0o755);
  assert.throws(() => claimPrivateDirectory(host.paths.runtime, "PYRO_RUNTIME_DIR"), { code: "permission_denied" });
  using pyro = host.pyro();
  await assert.rejects(pyro.env.list(), { code: "permission_denied" });
  chmodSync(host.paths.runtime, 0o700);
  mkdirSync(host.paths.state, { mode: 0o700 });
  const link = join(host.paths.state, "link");
  symlinkSync(host.paths.state, link);
  assert.throws(() => claimPrivateDirectory(link, "PYRO_RUNTIME_DIR"), { code: "permission_denied" });
});

test("a socket path that the kernel would cut is refused with the way out", async () => {
  await using host = new FakeHost();
  const paths = { ...host.paths, runtime: join(host.paths.runtime, "x".repeat(100)) };
  mkdirSync(paths.runtime, { recursive: true, mode: 0o700 });
  await assert.rejects(
    listenOnSocket(createServer(), paths),
    (failure: unknown) => PyroError.is(failure) && (failure.remedy ?? "").includes("PYRO_RUNTIME_DIR"),
  );
});
