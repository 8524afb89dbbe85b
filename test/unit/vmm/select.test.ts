import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { PyroError } from "../../../src/contract/error.ts";
import { chooseVmm, MACHINE_NAMES, selectVmm, type VmmFacts } from "../../../src/vmm/select.ts";

const facts = (usable: boolean, fix: string | null = null): VmmFacts => ({
  qemu: { path: "/usr/bin/qemu-system-x86_64", version: "7.2.22", fileIdentity: "1" },
  kvm: { exists: true, readable: true, writable: true, usable, reason: usable ? "a vCPU ran" : "a vCPU hung", fix },
});

const refusal = (code: string, words: RegExp, remedy: RegExp) => (failure: unknown) =>
  PyroError.is(failure) && failure.code === code && words.test(failure.message) && remedy.test(failure.remedy ?? "");

describe("choosing a machine", () => {
  it("takes KVM where a vCPU ran, emulation where it did not, and says why", () => {
    const kvm = chooseVmm(facts(true));
    assert.deepEqual(
      [kvm.kind, kvm.accelerator, kvm.isolation, kvm.executionMode],
      ["qemu", "kvm", "hardware", "guest_serial"],
    );
    assert.match(kvm.reason, /a vCPU ran/);
    const tcg = chooseVmm(facts(false));
    assert.deepEqual([tcg.accelerator, tcg.isolation], ["tcg", "emulated"]);
    assert.match(tcg.reason, /a vCPU hung/);
  });

  it("follows PYRO_MACHINE, also down to emulation", () => {
    assert.equal(chooseVmm(facts(true), { machine: "qemu-tcg" }).isolation, "emulated");
    assert.equal(chooseVmm(facts(true), { machine: "" }).isolation, "hardware");
    assert.throws(
      () => chooseVmm(facts(false), { machine: "qemu-kvm" }),
      refusal("host_unsupported", /qemu-kvm.*a vCPU hung/, /unset PYRO_MACHINE/),
    );
  });

  it("refuses emulation when hardware is required, with the host's own remedy", () => {
    assert.equal(chooseVmm(facts(true), { requireIsolation: "hardware" }).isolation, "hardware");
    const required = { requireIsolation: "hardware" } as const;
    assert.throws(
      () => chooseVmm(facts(false), required),
      refusal("host_unsupported", /a vCPU hung/, /host-requirements/),
    );
    assert.throws(
      () => chooseVmm(facts(false, "sudo modprobe kvm_amd"), required),
      refusal("host_unsupported", /./, /^sudo modprobe/),
    );
    assert.throws(
      () => chooseVmm(facts(true), { ...required, machine: "qemu-tcg" }),
      refusal("host_unsupported", /PYRO_MACHINE/, /^unset/),
    );
  });

  it("refuses every other name before it looks at the host, naming the known ones", async () => {
    const other = fc.string({ minLength: 1 }).filter((name) => !(MACHINE_NAMES as readonly string[]).includes(name));
    const wrong = refusal("invalid_argument", /qemu-kvm, qemu-tcg/, /unset/);
    fc.assert(fc.property(other, (machine) => assert.throws(() => chooseVmm(facts(true), { machine }), wrong)));
    const paths = { cache: "/nonexistent", state: "/", runtime: "/", config: "/" };
    await assert.rejects(selectVmm({ paths, env: { PYRO_MACHINE: "constructor", PATH: "" } }), wrong);
  });

  it("asks for QEMU when there is none", async () => {
    const paths = { cache: "/nonexistent", state: "/", runtime: "/", config: "/" };
    await assert.rejects(
      selectVmm({ paths, env: { PATH: "" } }),
      refusal("dependency_missing", /not installed/, /pyro doctor/),
    );
  });
});
