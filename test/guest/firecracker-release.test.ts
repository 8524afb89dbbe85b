/** The pinned release, for real: installed from a server on this host, asked for its version, and made to run a vCPU. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { runProgram } from "../../src/host/process.ts";
import type { HostPaths } from "../../src/host/paths.ts";
import { type FirecrackerProgram, findFirecracker, parseFirecrackerVersion } from "../../src/vmm/firecracker/binary.ts";
import { installFirecracker } from "../../src/vmm/firecracker/install.ts";
import { FIRECRACKER_RELEASE } from "../../src/vmm/firecracker/release.ts";
import { inspectKvmDevice } from "../../src/vmm/kvm-probe-device.ts";
import { probeElf } from "../../src/vmm/kvm-probe-elf.ts";
import { firecrackerVcpuProbe } from "../../src/vmm/kvm-probe-firecracker.ts";
import { probeKvm } from "../../src/vmm/kvm-probe.ts";
import { findQemu } from "../../src/vmm/qemu/version.ts";
import { pinnedFirecracker } from "../support/pinned-firecracker.ts";
import { releaseOf } from "../support/release-archive.ts";

let base = "";
let server: Server;
let paths: HostPaths;
let firecracker: FirecrackerProgram;

before(async () => {
  base = mkdtempSync(join(tmpdir(), "pyro-release-"));
  paths = { cache: join(base, "cache"), state: base, runtime: base, config: base };
  const { release, archive } = releaseOf(readFileSync(await pinnedFirecracker()));
  assert.equal(release.programSha256, FIRECRACKER_RELEASE.programSha256);
  server = createServer((_, response) => void response.end(archive));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const mirror = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  firecracker = await installFirecracker({ paths, mirror, release });
});
after(() => {
  server.closeAllConnections();
  server.close();
  rmSync(base, { recursive: true });
});

describe("the pinned Firecracker", () => {
  it("is found where it was installed, and says that it is what its pin says", async () => {
    const found = await findFirecracker({ paths, env: { PATH: "" } });
    assert.deepEqual(found, firecracker);
    const { stdout } = await runProgram(found.path, ["--version"], { deadlineMs: 20_000 });
    assert.equal(parseFirecrackerVersion(stdout), FIRECRACKER_RELEASE.version);
  });

  it("is found as one of the user's own too", async () => {
    const { source, version, path } = await findFirecracker({
      paths: { ...paths, cache: "/nonexistent" },
      env: { PYRO_FIRECRACKER: firecracker.path },
    });
    assert.deepEqual([source, version, path], ["PYRO_FIRECRACKER", "1.12.1", firecracker.path]);
  });

  it("boots the probe's kernel, both of whose marks arrive, wherever /dev/kvm runs a few instructions", async () => {
    const deadlines = { startDeadlineMs: 20_000, loopDeadlineMs: 20_000 };
    const outcome = await firecrackerVcpuProbe({ firecracker, image: probeElf(10), ...deadlines }).run();
    const { obstacle } = await inspectKvmDevice();
    assert.deepEqual([outcome.ran, outcome.lasting], obstacle === null ? [true, true] : [false, false], outcome.reason);
  });

  it("finds a vCPU that never ends, and leaves no process", async () => {
    const outcome = await firecrackerVcpuProbe({ firecracker, image: probeElf(0), loopDeadlineMs: 300 }).run();
    assert.equal(outcome.ran, false);
    const open = (await inspectKvmDevice()).obstacle === null;
    if (open) assert.match(outcome.reason, /did not (begin|get through its loop) within/);
    const { stdout } = await runProgram("ps", ["-eo", "args"], { deadlineMs: 20_000 });
    assert.ok(!stdout.includes(firecracker.path));
  });

  it("comes to the same answer about this host's KVM as QEMU, within 2.2 s, and at once the second time", async () => {
    const timed = async (): Promise<{ usable: boolean; took: number }> => {
      const begin = performance.now();
      const { usable } = await probeKvm(paths, { qemu: undefined, firecracker });
      return { usable, took: performance.now() - begin };
    };
    const first = await timed();
    assert.ok(first.took < 2200 + 500, `${first.took} ms`);
    const second = await timed();
    assert.ok(second.took < 100, `${second.took} ms`);
    const qemus = await probeKvm(
      { ...paths, cache: join(base, "qemu") },
      { qemu: await findQemu(), firecracker: undefined },
    );
    assert.deepEqual([first.usable, second.usable], [qemus.usable, qemus.usable]);
  });
});
