import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { doctor, type DoctorCheck, type DoctorReport } from "../../../src/contract/host-operations.ts";
import { runDoctor } from "../../../src/doctor/doctor.ts";
import { hostFacts } from "../../../src/doctor/host-facts.ts";
import { DEBIAN, diagnose } from "./fake-host.ts";

const check = (report: DoctorReport, id: string): DoctorCheck => {
  const found = report.checks.find((each) => each.id === id);
  assert.ok(found, `no check ${id}`);
  return found;
};

describe("doctor", () => {
  it("finds a KVM that hangs within 2.5 s, and remembers it", async () => {
    const begin = performance.now();
    const first = await diagnose({ kvm: "hangs" });
    const took = performance.now() - begin;
    assert.ok(took < 2500, `${took} ms`);
    assert.equal(first.kvm.usable, false);
    assert.match(first.kvm.reason, /did not get through its loop within 1000 ms/);
    const twiceBegin = performance.now();
    await diagnose({ kvm: "hangs" }, 3);
    assert.ok(performance.now() - twiceBegin < took + 1000, "only the first of three runs waits for the vCPU");
  });

  it("says which machine, why, and how well it isolates", async () => {
    const { machine, capabilities } = await diagnose({ firecracker: false });
    assert.equal(machine?.vmm, "qemu");
    assert.equal(machine?.vmm_version, "8.2.2");
    assert.equal(machine?.isolation, "hardware");
    assert.equal(machine?.execution_mode, "guest_serial");
    assert.match(machine?.reason ?? "", /a vCPU ran through its loop/);
    assert.deepEqual(capabilities, { vm_boot: true, guest_exec: true, guest_network: false });
    assert.equal((await diagnose({ kvm: "missing" })).machine?.isolation, "emulated");
  });

  it("keeps a kernel of one's own apart from the environment's", async () => {
    assert.deepEqual((await diagnose({})).kernel, { source: "environment", ok: true });
    const own = await diagnose({ env: { PYRO_KERNEL: process.execPath } });
    assert.deepEqual(own.kernel, { source: process.execPath, ok: true });
    assert.equal(own.runtime_ok, true);
  });

  it("uses su where there is no sudo, and asks nobody as root", async () => {
    const facts = hostFacts({ PATH: "/nonexistent" }, "/nonexistent");
    const report = await runDoctor({
      facts: {
        ...facts,
        uid: 1000,
        readText: async (path) => await Promise.resolve(path === "etc/os-release" ? DEBIAN : undefined),
      },
    });
    assert.match(check(report, "mmdebstrap").fix ?? "", /^su -c 'apt-get update && apt-get install/);
  });

  it("names the missing home directory instead of failing", async () => {
    const facts = { ...hostFacts({}, "/nonexistent"), uid: 4_000_000 };
    const report = await runDoctor({ facts });
    doctor.output.parse(report);
    assert.equal(report.runtime_ok, false);
  });

  it("reports a check that throws as a line", async () => {
    const broken = async (): Promise<never> => await Promise.reject(new Error("broken"));
    const report = await diagnose({ facts: { kvmDevice: broken, directory: broken, list: broken } });
    doctor.output.parse(report);
    assert.equal(report.runtime_ok, false);
    assert.equal(report.machine, null);
    for (const id of ["machine", "directories"]) assert.match(check(report, id).detail, /broken/);
  });

  it("works on this host, whatever it is", async () => {
    const report = await runDoctor();
    doctor.output.parse(report);
    assert.equal(report.capabilities.guest_network, false);
  });
});
