/** What /dev/kvm looks like to a plain user, on hosts that are directories. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { inspectKvmDevice, type KvmDevice } from "../../../src/vmm/kvm-probe-device.ts";

let base = "";
before(() => {
  // Not in the suite's own directory, which the user that we become may not enter.
  base = mkdtempSync("/tmp/pyro-kvm-");
  chmodSync(base, 0o755);
});
after(() => rmSync(base, { recursive: true, force: true }));

let hosts = 0;
/** A host with these files, and a /dev/kvm of this mode; undefined: none. */
function host(files: Readonly<Record<string, string>>, kvmMode?: number): { root: string; gid: number } {
  const root = join(base, String((hosts += 1)));
  const kvm = join(root, "dev/kvm");
  for (const [path, text] of Object.entries({ ...files, ...(kvmMode === undefined ? {} : { "dev/kvm": "" }) })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  mkdirSync(join(root, "etc"), { recursive: true });
  if (kvmMode === undefined) return { root, gid: -1 };
  chmodSync(kvm, kvmMode);
  return { root, gid: statSync(kvm).gid };
}

/** A user without rights of its own; root may open everything, so a child of root becomes somebody else first. */
const PLAIN_UID = 65_534;
/** No host's passwd has it. */
const NAMELESS_UID = 61_234;
const isRoot = process.getuid?.() === 0;
const notRoot = isRoot ? false : "only root can become another user";
const module = new URL("../../../src/vmm/kvm-probe-device.js", import.meta.url).href;

function inspectAsUser(root: string, uid = PLAIN_UID): KvmDevice {
  const become = isRoot ? `process.setgroups([]); process.setgid(${uid}); process.setuid(${uid});` : "";
  const script = `import { inspectKvmDevice } from ${JSON.stringify(module)}; ${become}
    process.stdout.write(JSON.stringify(await inspectKvmDevice(${JSON.stringify(root)})));`;
  const args = ["--input-type=module", "--eval", script];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8", timeout: 30_000 })) as KvmDevice;
}

const userName = (): string => (isRoot ? "nobody" : userInfo().username);

describe("a /dev/kvm that cannot be opened", () => {
  it("names its group and the command that joins it", () => {
    const { root, gid } = host({}, 0o060);
    writeFileSync(join(root, "etc/group"), `users:x:${gid + 1}:\nvirt:x:${gid}:somebody\n`);
    const { exists, readable, writable, obstacle } = inspectAsUser(root);
    assert.deepEqual([exists, readable, writable], [true, false, false]);
    assert.match(obstacle?.reason ?? "", /no permission on \/dev\/kvm: its group is virt, and you are not in it/);
    assert.equal(obstacle?.fix, "sudo usermod -aG virt $USER");
  });

  it("says that a new member must log in again", () => {
    const { root, gid } = host({}, 0o060);
    writeFileSync(join(root, "etc/group"), `virt:x:${gid}:somebody,${userName()}\n`);
    assert.match(inspectAsUser(root).obstacle?.reason ?? "", /in its group virt since after you logged in/);
  });

  it("takes a user without a name for nobody's fellow, also in a group without members", { skip: notRoot }, () => {
    const { root, gid } = host({}, 0o060);
    writeFileSync(join(root, "etc/group"), `virt:x:${gid}:\n`);
    assert.match(inspectAsUser(root, NAMELESS_UID).obstacle?.reason ?? "", /its group is virt, and you are not in it/);
  });

  it("gives a command that makes a group where only root may open it", () => {
    const { root, gid } = host({}, 0o000);
    writeFileSync(join(root, "etc/group"), `virt:x:${gid}:\n`);
    assert.match(inspectAsUser(root).obstacle?.fix ?? "", /^sudo chgrp kvm \/dev\/kvm && sudo chmod 660/);
  });

  it("known good: one that everybody may open has no obstacle", () => {
    const { root } = host({}, 0o666);
    assert.equal(inspectAsUser(root).obstacle, null);
  });
});

describe("a /dev/kvm that is not there", () => {
  it("names the module that is not loaded, by the CPU's vendor", async () => {
    for (const [flag, name] of Object.entries({ vmx: "kvm_intel", svm: "kvm_amd" })) {
      const { root } = host({ "proc/cpuinfo": `flags\t\t: fpu ${flag} sse2\n` });
      const { exists, obstacle } = await inspectKvmDevice(root);
      assert.deepEqual([exists, obstacle?.fix], [false, `sudo modprobe ${name}`]);
    }
  });

  it("says that the CPU shows no virtualisation, for which there is no command", async () => {
    const { root } = host({ "proc/cpuinfo": "flags\t\t: fpu sse2\n" });
    const { obstacle } = await inspectKvmDevice(root);
    assert.match(obstacle?.reason ?? "", /off in the firmware, or this is a virtual machine/);
    assert.equal(obstacle?.fix, null);
  });
});
