/** The jail of a plain user's VMM in the nested machine, on the driver that PYRO_MACHINE names; looked at by root. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { PLAIN_USER_TEST } from "../../support/driver-cases.ts";
import { driverOfEnvironment } from "../../support/driver-host.ts";
import { paths } from "../../support/guest-host.ts";
import { alterable, inspect, onlyVolume } from "../../support/vmm-inspection.ts";
import { violations } from "../../support/vmm-properties.ts";
import { INSIDE } from "../places.ts";

/** No user of the machine's; the device's group is the only thing that it has. */
const PLAIN_USER = 1001;
const KVM_GROUP = 104;

test(PLAIN_USER_TEST, async () => {
  const machine = driverOfEnvironment();
  const [home, runtime] = [join(INSIDE.disk, `plain-${machine}`), join("/run", `plain-${machine}`)];
  for (const directory of [home, runtime]) mkdirSync(directory, { mode: 0o700 });
  // Most of a cache takes the emulated machine long to make, and is the same for every user; so is what KVM answered.
  const cache = join(home, "cache");
  mkdirSync(cache, { mode: 0o700 });
  for (const name of ["environments", "kernels", "initramfs", "vmlinux", "vcpu-probes.json"]) {
    const source = join(paths.cache, name);
    if (existsSync(source)) execFileSync("cp", ["-a", source, cache]);
  }
  execFileSync("chown", ["-R", "-h", `${PLAIN_USER}:${PLAIN_USER}`, home, runtime]);
  const become = ["--reuid", String(PLAIN_USER), "--regid", String(PLAIN_USER), "--groups", String(KVM_GROUP)];
  const program = join(import.meta.dirname, "held-machine.js");
  const child = spawn("setpriv", [...become, process.execPath, "--enable-source-maps", program], {
    env: {
      ...process.env,
      HOME: home,
      PYRO_CACHE_DIR: cache,
      PYRO_STATE_DIR: home,
      PYRO_RUNTIME_DIR: runtime,
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    const ended = once(child, "exit").then(([code]) => assert.fail(`it ended with ${code}`));
    // The loser of the race.
    ended.catch(() => undefined);
    const [line] = (await Promise.race([once(createInterface(child.stdout), "line"), ended])) as [string];
    const held = JSON.parse(line) as { directory: string; cache: string; confinement: string };
    assert.equal(held.confinement, "full");
    const found = inspect(held.directory, held.cache, ["/dev/kvm"]);
    assert.deepEqual(violations(found), new Map());
    onlyVolume(alterable(found, ["/etc/passwd"]), found.writable);
    assert.match(readFileSync(`/proc/${found.pid}/status`, "utf8"), new RegExp(`^Uid:\\t${PLAIN_USER}\\t`, "m"));
  } finally {
    child.stdin.end();
    if (child.exitCode === null) await once(child, "exit");
  }
});
