/** Whose settings a server has, and what becomes of a client with others. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { differingSettings, settingsDigest, settingsOf } from "../../../src/host/settings.ts";
import { serverEnvironment } from "../../../src/sdk/server-environment.ts";
import { FakeHost } from "../../support/fake-host.ts";

const paths = { cache: "/c", state: "/s", runtime: "/r", config: "/f" };

test("a client with other settings gets a server with its own when nobody uses the old one", async () => {
  await using host = new FakeHost();
  using before = host.pyro();
  await before.env.list();
  const { pid } = await before.server.status();
  using after = host.pyro({ PYRO_MACHINE: "qemu-tcg" });
  await after.env.list();
  const { pid: replaced } = await after.server.status();
  assert.notEqual(replaced, pid);
  assert.ok(readFileSync(`/proc/${replaced}/environ`, "utf8").split("\0").includes("PYRO_MACHINE=qemu-tcg"));
});

test("a server in use stays, and the client is told which settings differ, by name alone", async () => {
  await using host = new FakeHost();
  using user = host.pyro({ https_proxy: "http://me:hunter2@proxy" });
  await using machine = await user.machine({ environment: "debian:12" });
  using other = host.pyro({ PYRO_QEMU: "/opt/secret-qemu" });
  await assert.rejects(other.env.list(), (failure: unknown) => {
    assert.ok(PyroError.is(failure));
    assert.equal(failure.code, "invalid_state");
    assert.match(failure.message, /PYRO_QEMU, https_proxy$/);
    assert.match(failure.remedy ?? "", /pyro server stop --force/);
    const told = JSON.stringify(failure);
    assert.equal(/hunter2|secret-qemu/.test(told), false, told);
    return true;
  });
  assert.equal((await machine.exec(["true"])).exit_code, 0);
  assert.equal((await other.server.status()).machines, 1, "status and stop are for every client");
});

test("what belongs to a client alone makes no difference to the server", async () => {
  await using host = new FakeHost();
  using first = host.pyro();
  await first.env.list();
  const { pid } = await first.server.status();
  using second = host.pyro({ PYRO_DEBUG: "1", PYRO_WORKSPACE: "w", PATH: `${host.env["PATH"]}:/opt`, PYRO_KERNEL: "" });
  await second.env.list();
  assert.equal((await second.server.status()).pid, pid);
});

test("of its starter's environment a server gets what is on the list", () => {
  const env = {
    PATH: "/bin",
    LC_ALL: "C",
    PYRO_KERNEL: "/k",
    https_proxy: "p",
    SSL_CERT_FILE: "/x",
    XDG_RUNTIME_DIR: "/y",
    PYRO_DEBUG: "1",
    PYRO_MACHINE: "",
    TOKEN: "t",
    LD_PRELOAD: "/evil.so",
    NODE_OPTIONS: "--require /evil",
  };
  assert.deepEqual(Object.keys(serverEnvironment(env, paths)).toSorted(), [
    "LC_ALL",
    "PATH",
    "PYRO_CACHE_DIR",
    "PYRO_CONFIG_DIR",
    "PYRO_KERNEL",
    "PYRO_RUNTIME_DIR",
    "PYRO_STATE_DIR",
    "SSL_CERT_FILE",
    "XDG_RUNTIME_DIR",
    "https_proxy",
  ]);
});

test("a path means the same to the server, whose working directory is another one", () => {
  const env = { PYRO_KERNEL: "boot/vmlinuz", PYRO_QEMU: "./qemu", PYRO_MACHINE: "a/b" };
  const settings = settingsOf(env, paths);
  assert.equal(settings["PYRO_KERNEL"], resolve("boot/vmlinuz"));
  assert.equal(settings["PYRO_QEMU"], resolve("qemu"));
  assert.equal(settings["PYRO_MACHINE"], "a/b");
  assert.equal(settingsOf({ PYRO_QEMU: "qemu-system-x86_64" }, paths)["PYRO_QEMU"], "qemu-system-x86_64");
  assert.deepEqual(settingsOf(serverEnvironment(env, paths), paths), settings, "the server reads what was compared");
});

test("digests differ in the settings that differ, and hold no value", () => {
  const digest = (env: NodeJS.ProcessEnv): string => settingsDigest(settingsOf(env, paths));
  const one = digest({ PYRO_MACHINE: "qemu-kvm", PYRO_QEMU: "/q", HTTP_PROXY: "http://u:pw@h" });
  assert.deepEqual(differingSettings(one, one), []);
  assert.deepEqual(differingSettings(one, digest({ PYRO_MACHINE: "qemu-tcg", PYRO_QEMU: "/q" })), [
    "HTTP_PROXY",
    "PYRO_MACHINE",
  ]);
  assert.equal(/qemu-kvm|pw@h|\/q/.test(one), false, one);
});
