import assert from "node:assert/strict";
import { once } from "node:events";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createServer as createNetServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { VERSION } from "../../../src/contract/version.ts";
import { VERSION_HEADER } from "../../../src/contract/wire.ts";
import { serverSocketPath } from "../../../src/host/paths.ts";
import { isOlder } from "../../../src/sdk/version-order.ts";
import { CLI, FakeHost } from "../../support/fake-host.ts";

/** A server of another version that is asked for nothing but its end. */
async function otherVersion(
  host: FakeHost,
  version: string,
  { busy, stubborn = false }: { busy: boolean; stubborn?: boolean },
): Promise<{ server: Server; requests: string[] }> {
  const requests: string[] = [];
  mkdirSync(host.paths.runtime, { mode: 0o700 });
  const server = createServer((request, response) => {
    requests.push(request.url ?? "");
    response.setHeader(VERSION_HEADER, version);
    response.setHeader("content-type", "application/json");
    if (request.url === "/rpc/server/status")
      return response.end(JSON.stringify({ json: { running: true, pid: 999_999_999 } }));
    if (request.url !== "/rpc/server/stop") return response.writeHead(426).end("{}");
    if (busy) {
      const error = {
        code: "PYRO_ERROR",
        status: 500,
        defined: false,
        message: "busy",
        data: { code: "invalid_state", message: "the server is busy" },
      };
      return response.writeHead(500).end(JSON.stringify({ json: error }));
    }
    // One that was started again by the time it is asked again.
    if (stubborn) return response.end(JSON.stringify({ json: { stopped: true, pid: 999_999_999 } }));
    response.once("close", () => {
      server.close();
      server.closeAllConnections();
    });
    return response.end(JSON.stringify({ json: { stopped: true, pid: 999_999_999 } }));
  });
  server.listen(serverSocketPath(host.paths));
  await once(server, "listening");
  return { server, requests };
}

test("an older idle server is replaced, and the call goes to the new one", async () => {
  await using host = new FakeHost();
  const { requests } = await otherVersion(host, "0.0.0-aaa", { busy: false });
  using pyro = host.pyro();
  assert.equal((await pyro.run({ environment: "debian:12", command: ["true"] })).exit_code, 0);
  assert.deepEqual(requests, ["/rpc/run", "/rpc/server/status", "/rpc/server/stop"]);
});

test("an idle server of another build of this version is replaced", async () => {
  await using host = new FakeHost();
  const { requests } = await otherVersion(host, `${VERSION}+0123456789ab`, { busy: false });
  using pyro = host.pyro();
  assert.equal((await pyro.run({ environment: "debian:12", command: ["true"] })).exit_code, 0);
  assert.deepEqual(requests, ["/rpc/run", "/rpc/server/status", "/rpc/server/stop"]);
});

test("a busy server of an older version or another build, and a newer one, are left alone", async () => {
  for (const [version, busy] of [
    ["0.0.0-aaa", true],
    [`${VERSION}+0123456789ab`, true],
    ["99.0.0", false],
  ] as const) {
    await using host = new FakeHost();
    const { server } = await otherVersion(host, version, { busy });
    using pyro = host.pyro();
    await assert.rejects(pyro.env.list(), { code: "protocol_mismatch", remedy: "pyro server stop --force" });
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  }
});

test("an installation whose parts are of different builds is told so, and not tried for ever", async () => {
  await using host = new FakeHost();
  const { server } = await otherVersion(host, `${VERSION}+0123456789ab`, { busy: false, stubborn: true });
  using pyro = host.pyro();
  await assert.rejects(pyro.env.list(), { code: "protocol_mismatch", message: /0123456789ab/ });
  server.close();
  server.closeAllConnections();
  await once(server, "close");
});

test("a call that is cancelled does not wait for the server to start", async () => {
  await using host = new FakeHost();
  const launcher = join(host.paths.cache, "launcher");
  mkdirSync(host.paths.cache);
  // Starts nothing, and says nothing until it is let go.
  execFileSync("mkfifo", [join(host.paths.cache, "gate")]);
  writeFileSync(launcher, `#!/bin/sh\nread -r _ <${host.paths.cache}/gate\nexit 1\n`, { mode: 0o755 });
  using pyro = host.pyro({ PYRO_LAUNCHER_PATH: launcher });
  const signal = AbortSignal.timeout(50);
  await assert.rejects(pyro.env.list({}, { signal }), { code: "cancelled" });
  writeFileSync(join(host.paths.cache, "gate"), "\n");
});

test("a kept connection that ended unnoticed does not hide the server that there is now", async () => {
  await using host = new FakeHost();
  using pyro = host.pyro();
  await pyro.env.list();
  const { pid } = await pyro.server.status();
  // In another process and waited for without an event loop, so that nothing tells this one of its connection's end.
  for (const words of [
    ["server", "stop"],
    ["env", "list"],
  ])
    execFileSync(process.execPath, [CLI, ...words], { env: host.env });
  const status = await pyro.server.status();
  assert.equal(status.running, true);
  assert.notEqual(status.pid, pid);
  await pyro.server.stop();
});

test("a server that ends before it began is no reason to give up", async () => {
  await using host = new FakeHost();
  mkdirSync(host.paths.runtime, { mode: 0o700 });
  let taken = 0;
  // Takes the connection and dies, as a server does that goes idle at the same moment.
  const dying = createNetServer((socket) => {
    taken += 1;
    dying.close();
    socket.destroy();
  });
  dying.listen(serverSocketPath(host.paths));
  await once(dying, "listening");
  using pyro = host.pyro();
  assert.equal((await pyro.run({ environment: "debian:12", command: ["true"] })).exit_code, 0);
  assert.equal(taken, 1);
});

test("a server that ends after it began is an unknown outcome, and nothing is sent again", async () => {
  await using host = new FakeHost();
  mkdirSync(host.paths.runtime, { mode: 0o700 });
  let requests = 0;
  const dying = createServer((request, response) => {
    requests += 1;
    response.writeProcessing(() => void request.socket.destroy());
  });
  dying.listen(serverSocketPath(host.paths));
  await once(dying, "listening");
  using pyro = host.pyro();
  await assert.rejects(pyro.run({ environment: "debian:12", command: ["true"] }), { code: "server_unavailable" });
  assert.equal(requests, 1);
  dying.close();
  await once(dying, "close");
});

test("versions are ordered as semver says", () => {
  const ordered = ["0.0.0-source", "0.1.0-alpha.2", "0.1.0-alpha.10", "0.1.0", "0.2.0", "0.10.0", "1.0.0"];
  for (const [index, version] of ordered.entries()) {
    assert.equal(isOlder(version, version), false);
    for (const later of ordered.slice(index + 1)) {
      assert.ok(isOlder(version, later), `${version} < ${later}`);
      assert.equal(isOlder(later, version), false);
    }
    assert.equal(isOlder(version, `${version}+build`), false, "builds have no order");
    assert.equal(isOlder(`${version}+build`, version), false, "builds have no order");
  }
});
