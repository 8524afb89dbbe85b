import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { PyroError } from "../../../src/contract/error.ts";
import { MACHINE_NAMES, type MachineName } from "../../../src/contract/run.ts";
import { chooseVmm, selectVmm, type VmmFacts } from "../../../src/vmm/select.ts";

const NO_QEMU = new PyroError("dependency_missing", "QEMU is not installed", { remedy: "install QEMU" });
const NO_FIRECRACKER = new PyroError("not_found", "Firecracker is not installed", { remedy: "run pyro doctor --fix" });
const QEMU = { path: "/usr/bin/qemu-system-x86_64", version: "7.2.22", fileIdentity: "1" };
const FIRECRACKER = { path: "/opt/firecracker", version: "1.12.1", fileIdentity: "2", source: "PATH" } as const;

interface Host {
  readonly kvm?: boolean;
  readonly qemu?: boolean;
  readonly firecracker?: boolean;
  readonly fix?: string;
}

const facts = ({ kvm = true, qemu = true, firecracker = false, fix }: Host): VmmFacts => ({
  firecracker: firecracker ? FIRECRACKER : NO_FIRECRACKER,
  qemu: qemu ? QEMU : NO_QEMU,
  kvm: {
    exists: true,
    readable: true,
    writable: true,
    usable: kvm,
    reason: kvm ? "a vCPU ran" : "a vCPU hung",
    fix: fix ?? null,
  },
});

const refusal = (code: string, words: RegExp, remedy: RegExp) => (failure: unknown) =>
  PyroError.is(failure) && failure.code === code && words.test(failure.message) && remedy.test(failure.remedy ?? "");

/** For every host: what is taken, and what can be asked for. */
const TABLE: readonly {
  host: Required<Omit<Host, "fix">>;
  taken: MachineName | null;
  possible: readonly MachineName[];
}[] = [
  row([true, true, true], "firecracker", ["firecracker", "qemu-kvm", "qemu-tcg"]),
  row([true, true, false], "qemu-kvm", ["qemu-kvm", "qemu-tcg"]),
  row([true, false, true], "firecracker", ["firecracker"]),
  row([true, false, false], null, []),
  row([false, true, true], "qemu-tcg", ["qemu-tcg"]),
  row([false, true, false], "qemu-tcg", ["qemu-tcg"]),
  row([false, false, true], null, []),
  row([false, false, false], null, []),
];

function row(
  [kvm, qemu, firecracker]: [boolean, boolean, boolean],
  taken: MachineName | null,
  possible: MachineName[],
) {
  return { host: { kvm, qemu, firecracker }, taken, possible };
}

describe("choosing a machine, on every host there can be", () => {
  for (const { host, taken, possible } of TABLE) {
    const there = Object.entries(host).flatMap(([name, is]) => (is ? [name] : []));
    it(`with ${there.join(", ") || "nothing"}: ${taken ?? "none"}`, () => {
      if (taken === null) assert.throws(() => chooseVmm(facts(host)), { code: "dependency_missing" });
      else assert.equal(chooseVmm(facts(host)).name, taken);
      for (const name of MACHINE_NAMES) {
        // The call's wish goes before the variable's.
        for (const wishes of [{ machine: name }, { variable: name }, { machine: name, variable: "qemu-tcg" }]) {
          if (possible.includes(name)) assert.equal(chooseVmm(facts(host), wishes).name, name);
          else assert.throws(() => chooseVmm(facts(host), wishes), refusal("host_unsupported", new RegExp(name), /./));
        }
        const strict = { machine: name, requireIsolation: "hardware" } as const;
        if (possible.includes(name) && name !== "qemu-tcg")
          assert.equal(chooseVmm(facts(host), strict).isolation, "hardware");
        else assert.throws(() => chooseVmm(facts(host), strict), { code: "host_unsupported" });
      }
    });
  }
});

describe("choosing a machine", () => {
  it("says which, why, and why none of the better ones", () => {
    const best = chooseVmm(facts({ firecracker: true }));
    assert.deepEqual(
      [best.kind, best.accelerator, best.isolation, best.executionMode, best.program.path],
      ["firecracker", "kvm", "hardware", "guest_vsock", "/opt/firecracker"],
    );
    assert.match(best.reason, /^KVM works: a vCPU ran$/);
    const kvm = chooseVmm(facts({}));
    assert.deepEqual([kvm.kind, kvm.executionMode, kvm.program.path], ["qemu", "guest_serial", QEMU.path]);
    assert.match(kvm.reason, /a vCPU ran; not Firecracker: Firecracker is not installed/);
    const tcg = chooseVmm(facts({ kvm: false, firecracker: true }));
    assert.deepEqual([tcg.accelerator, tcg.isolation], ["tcg", "emulated"]);
    assert.match(tcg.reason, /^emulation, because KVM does not work here: a vCPU hung$/);
    assert.match(chooseVmm(facts({}), { machine: "qemu-tcg" }).reason, /^asked for with machine qemu-tcg$/);
    assert.match(chooseVmm(facts({}), { variable: "qemu-tcg" }).reason, /^asked for with PYRO_MACHINE=qemu-tcg$/);
  });

  it("names the remedy of what stands in the way of what was asked for", () => {
    const ask = (host: Host, machine: MachineName) => () => chooseVmm(facts(host), { machine });
    assert.throws(ask({}, "firecracker"), refusal("host_unsupported", /not installed/, /doctor --fix/));
    assert.throws(ask({ qemu: false }, "qemu-tcg"), refusal("host_unsupported", /QEMU is not/, /install QEMU/));
    const closed = { kvm: false, firecracker: true, fix: "sudo usermod -aG kvm $USER" };
    assert.throws(ask(closed, "firecracker"), refusal("host_unsupported", /a vCPU hung/, /^sudo usermod/));
    assert.throws(ask({ kvm: false }, "qemu-kvm"), refusal("host_unsupported", /a vCPU hung/, /leave it out/));
    assert.throws(
      () => chooseVmm(facts({ kvm: false }), { variable: "qemu-kvm" }),
      refusal("host_unsupported", /PYRO_MACHINE=qemu-kvm.*a vCPU hung/, /unset PYRO_MACHINE/),
    );
  });

  it("says what to do where there is no VMM", () => {
    const none = (host: Host) => () => chooseVmm(facts({ qemu: false, ...host }));
    assert.throws(none({}), refusal("dependency_missing", /QEMU.*Firecracker/, /doctor --fix; or install QEMU/));
    // Where KVM does not work Firecracker would not help.
    assert.throws(none({ kvm: false }), refusal("dependency_missing", /QEMU is not installed/, /^install QEMU$/));
    assert.throws(
      none({ kvm: false, firecracker: true }),
      refusal("dependency_missing", /Firecracker needs a KVM that works, and a vCPU hung/, /^install QEMU$/),
    );
  });

  it("refuses emulation when hardware is required, with the host's own remedy", () => {
    const required = { requireIsolation: "hardware" } as const;
    assert.equal(chooseVmm(facts({}), required).isolation, "hardware");
    assert.throws(
      () => chooseVmm(facts({ kvm: false }), required),
      refusal("host_unsupported", /a vCPU hung/, /host-requirements/),
    );
    assert.throws(
      () => chooseVmm(facts({ kvm: false, fix: "sudo modprobe kvm_amd" }), required),
      refusal("host_unsupported", /./, /^sudo modprobe/),
    );
    assert.throws(
      () => chooseVmm(facts({}), { ...required, variable: "qemu-tcg" }),
      refusal("host_unsupported", /PYRO_MACHINE/, /^unset/),
    );
    assert.throws(
      () => chooseVmm(facts({}), { ...required, machine: "qemu-tcg" }),
      refusal("host_unsupported", /machine qemu-tcg asks for emulation/, /^leave it out/),
    );
  });

  it("refuses every other name before it looks at the host, naming the known ones", async () => {
    const other = fc.string({ minLength: 1 }).filter((name) => !(MACHINE_NAMES as readonly string[]).includes(name));
    const wrong = refusal("invalid_argument", /firecracker, qemu-kvm, qemu-tcg/, /unset/);
    fc.assert(fc.property(other, (variable) => assert.throws(() => chooseVmm(facts({}), { variable }), wrong)));
    const paths = { cache: "/nonexistent", state: "/", runtime: "/", config: "/" };
    await assert.rejects(selectVmm({ paths, env: { PYRO_MACHINE: "constructor", PATH: "" } }), wrong);
  });

  it("asks for a VMM when there is none", async () => {
    const paths = { cache: "/nonexistent", state: "/", runtime: "/", config: "/" };
    await assert.rejects(
      selectVmm({ paths, env: { PATH: "" } }),
      refusal("dependency_missing", /not installed/, /pyro doctor/),
    );
  });
});
