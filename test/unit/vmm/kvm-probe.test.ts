import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { answerOnce, probeCachePath } from "../../../src/vmm/kvm-probe-cache.ts";
import type { KvmDevice } from "../../../src/vmm/kvm-probe-device.ts";
import { probeBios } from "../../../src/vmm/kvm-probe-image.ts";
import { probeArguments, qemuVcpuProbe } from "../../../src/vmm/kvm-probe-qemu.ts";
import { probeEmulation, probeKvm } from "../../../src/vmm/kvm-probe.ts";
import type { VcpuOutcome, VcpuProbe } from "../../../src/vmm/kvm-probe-vcpu.ts";
import { qemuArguments } from "../../../src/vmm/qemu/arguments.ts";
import { findQemu, type QemuProgram } from "../../../src/vmm/qemu/version.ts";
import type { HostPaths } from "../../../src/host/paths.ts";

const DEVICE: KvmDevice = { exists: true, readable: true, writable: true, identity: "1", obstacle: null };
const RAN: VcpuOutcome = { ran: true, reason: "a vCPU ran", lasting: true };

let base = "";
let qemu: QemuProgram;
before(async () => {
  base = mkdtempSync(join(tmpdir(), "pyro-probe-test-"));
  qemu = await findQemu();
});
after(() => rmSync(base, { recursive: true, force: true }));

const VMMS = () => ({ qemu, firecracker: undefined });

let places = 0;
const newPaths = (): HostPaths => {
  const place = join(base, String((places += 1)));
  return { cache: join(place, "cache"), state: place, runtime: place, config: place };
};

/** A probe that counts how often it was run. */
function counting(outcome: VcpuOutcome, identity = "fake"): VcpuProbe & { runs: number } {
  return {
    runs: 0,
    identity,
    async run() {
      this.runs += 1;
      return await Promise.resolve(outcome);
    },
  };
}

describe("the probe's guest, under TCG", () => {
  it("comes to its end", async () => {
    const outcome = await qemuVcpuProbe({
      qemu,
      accelerator: "tcg",
      startDeadlineMs: 20_000,
      loopDeadlineMs: 20_000,
    }).run();
    assert.deepEqual({ ...outcome, reason: "" }, { ran: true, reason: "", lasting: true });
    assert.match(outcome.reason, /^a vCPU ran through its loop in \d+ ms$/);
  });

  it("known bad: one that never ends is found at the deadline, and QEMU is gone", async () => {
    const begin = performance.now();
    const options = {
      qemu,
      accelerator: "tcg",
      image: probeBios(0),
      startDeadlineMs: 20_000,
      loopDeadlineMs: 300,
    } as const;
    const outcome = await qemuVcpuProbe(options).run();
    assert.deepEqual(outcome, {
      ran: false,
      reason: "a vCPU began and did not get through its loop within 300 ms",
      lasting: true,
    });
    assert.ok(performance.now() - begin < 10_000);
  });

  it("known bad: one that does not even begin is found at the deadline", async () => {
    const halts = Buffer.alloc(0x1_0000, 0xf4);
    const outcome = await qemuVcpuProbe({ qemu, accelerator: "tcg", image: halts, startDeadlineMs: 300 }).run();
    assert.deepEqual(outcome, { ran: false, reason: "a vCPU did not begin within 300 ms", lasting: true });
  });

  it("known bad: a firmware that QEMU refuses is told in QEMU's words, and not for the rest of the boot", async () => {
    const outcome = await qemuVcpuProbe({ qemu, accelerator: "tcg", image: Buffer.alloc(7) }).run();
    assert.equal(outcome.ran, false);
    assert.equal(outcome.lasting, false);
    assert.match(outcome.reason, /^QEMU ended with status 1: .*bios/i);
  });

  it("needs no answer from a QEMU that cannot be started", async () => {
    const outcome = await qemuVcpuProbe({ qemu: { ...qemu, path: "/no/such/qemu" }, accelerator: "tcg" }).run();
    assert.deepEqual([outcome.ran, outcome.lasting], [false, false]);
  });
});

describe("the probe's machine", () => {
  it("is the driver's: same type, CPU, accelerator and sandbox, so that what it finds is true of a guest", () => {
    const shape = { vcpuCount: 1, memoryMib: 256 };
    const files = {
      kernelPath: "/kernel",
      initramfsPath: "/initramfs",
      agentParameters: [],
      drives: [],
      directory: "/",
    };
    for (const accelerator of ["kvm", "tcg"] as const) {
      const memory = { kind: "anonymous" } as const;
      const driver = qemuArguments({ plan: { shape, ...files }, accelerator, memory, tscKhz: 1 });
      const probe = probeArguments(accelerator, "/bios");
      const value = (words: readonly string[], option: string): string => words[words.indexOf(option) + 1] ?? "";
      const kind = (words: readonly string[], option: string): string => value(words, option).split(",")[0] ?? "";
      for (const option of ["-cpu", "-sandbox"]) assert.equal(value(probe, option), value(driver, option));
      for (const option of ["-M", "-accel"]) assert.equal(kind(probe, option), kind(driver, option));
    }
  });
});

describe("probeKvm", () => {
  it("answers within 2.2 s on this host, and at once the second time", async () => {
    const paths = newPaths();
    const timed = async (): Promise<number> => {
      const begin = performance.now();
      await probeKvm(paths, VMMS());
      return performance.now() - begin;
    };
    assert.ok((await timed()) < 2200 + 500);
    assert.ok((await timed()) < 100);
  });

  it("runs nothing when the device cannot be opened", async () => {
    const probe = counting(RAN);
    const obstacle = { reason: "no permission", fix: "sudo usermod -aG kvm $USER" };
    const answer = await probeKvm(newPaths(), { ...VMMS(), probe, device: { ...DEVICE, writable: false, obstacle } });
    assert.deepEqual(answer, { exists: true, readable: true, writable: false, usable: false, ...obstacle });
    assert.equal(probe.runs, 0);
  });

  it("says that it could not try without a VMM", async () => {
    const answer = await probeKvm(newPaths(), { qemu: undefined, firecracker: undefined, device: DEVICE });
    assert.equal(answer.usable, false);
    assert.match(answer.reason, /^not tried/);
  });

  it("does not confuse emulation's answer with KVM's", async () => {
    const paths = newPaths();
    assert.equal((await probeEmulation(paths, qemu)).ran, true);
    const probe = { ...counting({ ran: false, reason: "hung", lasting: true }), identity: "other" };
    assert.equal((await probeKvm(paths, { ...VMMS(), device: DEVICE, probe })).usable, false);
    assert.equal((await probeEmulation(paths, qemu)).ran, true);
  });
});

describe("remembering", () => {
  it("runs once for twenty who ask at the same time, and never again", async () => {
    const [paths, probe] = [newPaths(), counting(RAN)];
    const answers = await Promise.all(Array.from({ length: 20 }, async () => await answerOnce(paths, probe, "d")));
    assert.ok(answers.every(({ ran }) => ran));
    await answerOnce(paths, probe, "d");
    assert.equal(probe.runs, 1);
  });

  it("asks again for another device node, another VMM, another boot", async () => {
    const [paths, probe, other] = [newPaths(), counting(RAN), counting(RAN, "newer")];
    await answerOnce(paths, probe, "d");
    await answerOnce(paths, probe, "reloaded");
    await answerOnce(paths, other, "d");
    assert.deepEqual([probe.runs, other.runs], [2, 1]);
    const file = JSON.parse(readFileSync(probeCachePath(paths), "utf8")) as Record<string, unknown>;
    writeFileSync(probeCachePath(paths), JSON.stringify({ ...file, bootId: "another" }));
    await answerOnce(paths, probe, "d");
    assert.equal(probe.runs, 3);
  });

  it("does not keep an answer that somebody may mend", async () => {
    const [paths, probe] = [newPaths(), counting({ ran: false, reason: "busy", lasting: false })];
    await answerOnce(paths, probe, "d");
    await answerOnce(paths, probe, "d");
    assert.equal(probe.runs, 2);
  });

  it("mends a damaged file and does without one that cannot be written", async () => {
    const [paths, probe] = [newPaths(), counting(RAN)];
    await answerOnce(paths, probe, "d");
    for (const damage of ["", "{", "[]", '{"bootId":1}']) {
      writeFileSync(probeCachePath(paths), damage);
      assert.equal((await answerOnce(paths, probe, "d")).ran, true);
    }
    assert.equal(probe.runs, 5);
    const nowhere = { ...paths, cache: join(probeCachePath(paths), "below-a-file") };
    assert.equal((await answerOnce(nowhere, probe, "d")).ran, true);
  });
});
