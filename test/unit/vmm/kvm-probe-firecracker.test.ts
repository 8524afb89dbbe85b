/** Firecracker's way to run the probe's guest, with programs that do what a Firecracker does, right or wrong. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { BEGIN_MARK, END_MARK, probeElf } from "../../../src/vmm/kvm-probe-elf.ts";
import { firecrackerVcpuProbe } from "../../../src/vmm/kvm-probe-firecracker.ts";
import { probeKvm } from "../../../src/vmm/kvm-probe.ts";
import type { VcpuOutcome } from "../../../src/vmm/kvm-probe-vcpu.ts";

let base = "";
before(() => (base = mkdtempSync(join(tmpdir(), "pyro-fc-probe-"))));
after(() => rmSync(base, { recursive: true, force: true }));

const octal = (mark: string): string =>
  [...Buffer.from(mark, "latin1")].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
const LOG = "echo '2026-11-23T11:32:52.3 [anonymous-instance:main] Running Firecracker v1.12.1'";
const BEGIN = `printf '${octal(BEGIN_MARK)}'`;
const END = `printf '${octal(END_MARK)}'`;

function program(body: string) {
  const path = join(base, `fc-${body.length}-${Math.random()}`);
  const script = `#!/bin/sh\n[ "$1" = --version ] && exec echo 'Firecracker v1.12.1'\n${body}\n`;
  writeFileSync(path, script, { mode: 0o755 });
  return { path, version: "1.12.1", source: "PATH", fileIdentity: "1" } as const;
}

const DEADLINES = { startDeadlineMs: 20_000, loopDeadlineMs: 20_000 };
const run = async (body: string, deadlines = {}): Promise<VcpuOutcome> =>
  await firecrackerVcpuProbe({ firecracker: program(body), ...DEADLINES, ...deadlines }).run();

describe("the probe's guest as an ELF", () => {
  it("is one loadable segment at 1 MiB, whose entry is its first byte", () => {
    const elf = probeElf();
    assert.equal(elf.toString("latin1", 0, 4), "\u007fELF");
    assert.equal(elf.readBigUInt64LE(24), 0x10_0000n);
    const [offset, size] = [Number(elf.readBigUInt64LE(72)), Number(elf.readBigUInt64LE(96))];
    assert.equal(offset + size, elf.length);
    assert.equal(elf.readBigUInt64LE(80), elf.readBigUInt64LE(24));
    assert.ok(elf.includes(Buffer.from([0xb0, 0xfe, 0xe6, 0x64])), "it resets the machine");
    assert.ok(!probeElf(0).includes(Buffer.from([0xe6, 0x64])), "known bad: one that never ends");
  });
});

describe("the probe in Firecracker", () => {
  it("believes a guest that began and came to its end", async () => {
    const outcome = await run(`${LOG}; ${BEGIN}; ${LOG}; ${END}; ${LOG}; exit 0`);
    assert.match(outcome.reason, /^a vCPU ran through its loop in \d+ ms$/);
    assert.deepEqual([outcome.ran, outcome.lasting], [true, true]);
  });

  it("known bad: a guest that crashes after its first mark also ends Firecracker with 0", async () => {
    const outcome = await run(`${BEGIN}; ${LOG}; exit 0`);
    assert.deepEqual([outcome.ran, outcome.lasting], [false, false]);
    assert.match(outcome.reason, /^Firecracker ended with status 0/);
  });

  it("known bad: one that never ends, or never begins, is found at the deadline", async () => {
    assert.deepEqual(await run(`${BEGIN}; exec sleep 60`, { loopDeadlineMs: 200 }), {
      ran: false,
      reason: "a vCPU began and did not get through its loop within 200 ms",
      lasting: true,
    });
    assert.deepEqual(await run(`${LOG}; exec sleep 60`, { startDeadlineMs: 200 }), {
      ran: false,
      reason: "a vCPU did not begin within 200 ms",
      lasting: true,
    });
  });

  it("tells a refusal in Firecracker's words, without its clock", async () => {
    const line = "2026-11-23T11:32:52.3 [anonymous-instance:main] Error creating KVM object: Permission denied";
    const outcome = await run(`${LOG}; echo '${line}'; exit 1`);
    assert.deepEqual(outcome, {
      ran: false,
      reason: "Firecracker ended with status 1: Error creating KVM object: Permission denied",
      lasting: false,
    });
  });

  it("answers for a host without QEMU, and remembers", async () => {
    const paths = { cache: join(base, "cache"), state: base, runtime: base, config: base };
    const device = { exists: true, readable: true, writable: true, identity: "1", obstacle: null };
    const firecracker = program(`echo >> ${join(base, "runs")}; ${BEGIN}; ${END}; exit 0`);
    const ask = async () => await probeKvm(paths, { qemu: undefined, firecracker, device });
    assert.equal((await ask()).usable, true);
    rmSync(join(base, "runs"));
    assert.equal((await ask()).usable, true);
    assert.throws(() => rmSync(join(base, "runs")), "it was not run again");
  });
});
