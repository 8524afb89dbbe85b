/** However pyro is broken, what was meant for a guest never runs on the host, and the error says what to do. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { serverSocketPath } from "../../src/host/paths.ts";
import { findQemu } from "../../src/vmm/qemu/version.ts";
import { packageFile } from "../../src/host/package-files.ts";
import { CLI, paths } from "../support/guest-host.ts";

const scratch = mkdtempSync("/tmp/pyro-broken-");
after(() => rmSync(scratch, { recursive: true, force: true }));

/** A directory that no guest has: a file in it was made on the host. */
const CANARIES = join(scratch, "canaries");
mkdirSync(CANARIES, { mode: 0o777 });
chmodSync(CANARIES, 0o777);

const program = (name: string, text: string): string => {
  const path = join(scratch, name);
  writeFileSync(path, text, { mode: 0o755 });
  return path;
};

/** Says that it is QEMU, and runs whatever it is given. */
const LIAR =
  '#!/bin/sh\n[ "$1" = --version ] && { echo "QEMU emulator version 8.2.2"; exit 0; }\neval "$*"; exec sh -c "$*"\n';

/** Directories of one case's own; `altered` gets a copy of the cache to damage. */
function directories(name: string, altered?: (cache: string) => void): NodeJS.ProcessEnv {
  const root = join(scratch, name);
  const [state, runtime, cache] = ["state", "run", "cache"].map((each) => join(root, each)) as [string, string, string];
  for (const directory of [state, runtime]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const env = { PYRO_STATE_DIR: state, PYRO_RUNTIME_DIR: runtime, PYRO_READY_MACHINES: "0" };
  if (altered === undefined) return env;
  const platform = join("environments", "linux-x86_64");
  mkdirSync(join(cache, platform), { recursive: true, mode: 0o700 });
  execFileSync("cp", ["-a", join(paths.cache, platform, "debian_12-1.0.0"), join(cache, platform)]);
  for (const part of ["kernels", "initramfs"]) execFileSync("cp", ["-a", join(paths.cache, part), cache]);
  altered(cache);
  return { ...env, PYRO_CACHE_DIR: cache };
}

/** Overwrites the beginning of each file in a directory; sizes stay. */
function spoil(directory: string, which: RegExp): void {
  const names = readdirSync(directory).filter((name) => which.test(name));
  assert.ok(names.length > 0, `nothing to spoil in ${directory}`);
  for (const name of names)
    execFileSync("dd", [
      "if=/dev/zero",
      `of=${join(directory, name)}`,
      "bs=1M",
      "count=1",
      "conv=notrunc",
      "status=none",
    ]);
}

const installed = (cache: string): string => join(cache, "environments", "linux-x86_64", "debian_12-1.0.0");

const { path: qemu } = await findQemu();

interface Case {
  readonly name: string;
  readonly env: () => NodeJS.ProcessEnv;
  readonly code: string;
}

const CASES: readonly Case[] = [
  { name: "no launcher", code: "dependency_missing", env: () => ({ PYRO_LAUNCHER_PATH: "/nowhere/pyro-launch" }) },
  {
    name: "a launcher that may not be executed",
    code: "permission_denied",
    env: () => {
      const path = join(scratch, "not-executable");
      copyFileSync(packageFile("launcher").path, path);
      chmodSync(path, 0o644);
      return { PYRO_LAUNCHER_PATH: path };
    },
  },
  {
    name: "a launcher that runs what it is given as a shell would",
    code: "server_unavailable",
    env: () => ({ PYRO_LAUNCHER_PATH: program("shell-launcher", '#!/bin/sh\necho garbage\neval "$*"\n') }),
  },
  { name: "a shell for QEMU", code: "dependency_missing", env: () => ({ PYRO_QEMU: "/bin/sh" }) },
  { name: "env for QEMU", code: "dependency_missing", env: () => ({ PYRO_QEMU: "/usr/bin/env" }) },
  { name: "a QEMU that runs what it is given", code: "vmm_failed", env: () => ({ PYRO_QEMU: program("liar", LIAR) }) },
  { name: "no agent", code: "dependency_missing", env: () => ({ PYRO_AGENT_PATH: "/nowhere/pyro-agent" }) },
  {
    name: "a kernel that is none",
    code: "invalid_argument",
    env: () => ({ PYRO_KERNEL: program("kernel", "x".repeat(4096)) }),
  },
  { name: "an unknown machine", code: "invalid_argument", env: () => ({ PYRO_MACHINE: "host" }) },
  {
    // With something to build it with, it is made again and the command runs in its guest.
    name: "a root file system that was altered, and no tool to make it again",
    code: "dependency_missing|artifact_corrupt",
    env: () => ({
      ...directories("altered", (cache) => spoil(installed(cache), /^rootfs\./)),
      PATH: "/nowhere",
      PYRO_QEMU: qemu,
    }),
  },
  {
    name: "an initramfs that was altered",
    code: "guest_unreachable|vmm_failed",
    env: () => directories("initramfs", (cache) => spoil(join(cache, "initramfs"), /\.cpio$/)),
  },
  {
    name: "a /dev/kvm that is another device",
    code: "host_unsupported",
    env: () => ({ PYRO_MACHINE: "qemu-kvm", PYRO_TEST_KVM: "/dev/null" }),
  },
];

test("never on the host: ways of breaking the runtime", async (t) => {
  for (const { name, env, code } of CASES) {
    await t.test(
      name,
      { skip: name.includes("/dev/kvm") && process.getuid?.() !== 0 ? "only root mounts" : false },
      async () => {
        await refuses(name, { ...directories(name.replaceAll(/\W+/g, "-")), ...env() }, code);
      },
    );
  }
  await t.test("a stranger on the server's socket", async () => {
    const env = directories("stranger");
    const socket = serverSocketPath({ ...paths, runtime: env["PYRO_RUNTIME_DIR"] ?? "" });
    mkdirSync(dirname(socket), { recursive: true });
    const stranger = createServer((connection) =>
      connection.on("error", () => undefined).end("HTTP/1.1 200 OK\r\n\r\ngarbage"),
    );
    stranger.listen(socket);
    await once(stranger, "listening");
    try {
      await refuses("stranger", env, "server_unavailable|protocol_mismatch|internal");
    } finally {
      stranger.close();
    }
  });
});

/** Runs a command that would leave a canary on the host; there is none, and the error has its three parts. */
async function refuses(name: string, more: NodeJS.ProcessEnv, code: string): Promise<void> {
  const canary = join(CANARIES, name.replaceAll(/\W+/g, "-"));
  const words = [CLI, "run", "debian:12", "--json", "--", "sh", "-c", `touch ${canary}`];
  const env = { ...process.env, ...more };
  const { status, stdout } = await runNode(words, env);
  await runNode([CLI, "server", "stop", "--force"], env);
  assert.equal(existsSync(canary), false, "the command ran on the host");
  assert.deepEqual(readdirSync(CANARIES), []);
  assert.notEqual(status, 0, stdout);
  const { error } = JSON.parse(stdout) as { error?: { code: string; message: string; remedy?: string } };
  assert.match(error?.code ?? stdout, new RegExp(`^(?:${code})$`), JSON.stringify(error));
  assert.ok((error?.message ?? "") !== "" && (error?.remedy ?? "") !== "", JSON.stringify(error));
}

async function runNode(words: readonly string[], env: NodeJS.ProcessEnv): Promise<{ status: number; stdout: string }> {
  const kvm = env["PYRO_TEST_KVM"];
  // In a mount namespace of its own, in which the device is another one.
  const script = 'mount --bind "$0" /dev/kvm && exec "$@"';
  const child =
    kvm === undefined
      ? spawn(process.execPath, words, { env, stdio: ["ignore", "pipe", "ignore"] })
      : spawn("unshare", ["--mount", "sh", "-c", script, kvm, process.execPath, ...words], {
          env,
          stdio: ["ignore", "pipe", "ignore"],
        });
  let stdout = "";
  child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
  const [status] = (await once(child, "close")) as [number];
  return { status, stdout };
}
