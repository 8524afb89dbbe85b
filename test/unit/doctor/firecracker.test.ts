/** What doctor says of Firecracker on each kind of host. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PyroError } from "../../../src/contract/error.ts";
import { checkFirecracker } from "../../../src/doctor/check-firecracker.ts";
import { hostFacts } from "../../../src/doctor/host-facts.ts";
import type { FirecrackerProgram } from "../../../src/vmm/firecracker/binary.ts";
import { FIRECRACKER_RELEASE } from "../../../src/vmm/firecracker/release.ts";
import { diagnose } from "./fake-host.ts";

const PATHS = { cache: "/c", state: "/s", runtime: "/r", config: "/f" };
const FOUND: FirecrackerProgram = { path: "/opt/firecracker", version: "1.12.1", fileIdentity: "1", source: "PATH" };
const ABSENT = new PyroError("not_found", "Firecracker is not installed");
const OLD = new PyroError("dependency_missing", "/usr/bin/firecracker is Firecracker 1.4.0");
const ALTERED = new PyroError("artifact_corrupt", "/c/firecracker is not the Firecracker that pyro installed");

interface Case {
  readonly name: string;
  readonly found: FirecrackerProgram | PyroError;
  readonly kvmUsable?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly ok: boolean;
  readonly required?: boolean;
  readonly detail: RegExp;
  readonly offered: boolean;
}

const NAMED = { PYRO_FIRECRACKER: "/x" };
const ASKED = { PYRO_MACHINE: "firecracker" };
const CASES: readonly Case[] = [
  {
    name: "there",
    found: FOUND,
    ok: true,
    detail: /^\/opt\/firecracker 1\.12\.1, found in PATH$/,
    offered: false,
  },
  { name: "absent, KVM works", found: ABSENT, ok: false, detail: /not installed/, offered: true },
  {
    name: "absent, KVM does not work",
    found: ABSENT,
    kvmUsable: false,
    ok: true,
    detail: /not needed: KVM/,
    offered: false,
  },
  { name: "too old, KVM works", found: OLD, ok: false, detail: /1\.4\.0/, offered: true },
  {
    name: "too old, KVM does not work",
    found: OLD,
    kvmUsable: false,
    ok: true,
    detail: /1\.4\.0; not needed/,
    offered: false,
  },
  { name: "altered", found: ALTERED, kvmUsable: false, ok: false, detail: /not the Firecracker/, offered: true },
  { name: "named and unfit", found: OLD, env: NAMED, kvmUsable: false, ok: false, detail: /1\.4\.0/, offered: false },
  { name: "asked for and absent", found: ABSENT, env: ASKED, ok: false, required: true, detail: /not/, offered: true },
];

describe("doctor's line about Firecracker", () => {
  for (const { name, found, kvmUsable = true, env = {}, ok, required = false, detail, offered } of CASES) {
    it(name, () => {
      const facts = hostFacts(env, "/nonexistent");
      const { finding, firecracker, fixDownload } = checkFirecracker(facts, PATHS, { found, kvmUsable });
      assert.deepEqual([finding.id, finding.ok, finding.required], ["firecracker", ok, required]);
      assert.match(finding.detail, detail);
      assert.equal(finding.fix, offered ? "pyro doctor --fix" : null);
      assert.equal(finding.automatic, false, "it is no part of the shell's command line");
      assert.equal(fixDownload !== null, offered);
      assert.equal(firecracker?.path ?? null, PyroError.is(found) ? null : found.path);
    });
  }

  it("names what would be downloaded, from where and into what", () => {
    const facts = hostFacts({ PYRO_FIRECRACKER_MIRROR: "https://mirror.example/fc" }, "/nonexistent");
    const options = { found: ABSENT, kvmUsable: true };
    const { version, archiveSha256 } = FIRECRACKER_RELEASE;
    assert.deepEqual(checkFirecracker(facts, PATHS, options).fixDownload, {
      program: "firecracker",
      version,
      url: `https://mirror.example/fc/v${version}/firecracker-v${version}-x86_64.tgz`,
      sha256: archiveSha256,
      directory: `/c/firecracker/v${version}`,
    });
  });

  it("is in the report of a whole host, which says why Firecracker is not taken", async () => {
    const report = await diagnose({ firecracker: false });
    assert.equal(report.checks.filter(({ id }) => id === "firecracker").length, 1);
    assert.match(report.machine?.reason ?? "", /not Firecracker: /);
    assert.equal(report.machine?.name, "qemu-kvm");
  });

  it("is refused with the reason where it is asked for and cannot be had", async () => {
    const report = await diagnose({ kvm: "missing", env: { PYRO_MACHINE: "firecracker" } });
    assert.equal(report.runtime_ok, false);
    assert.equal(report.machine, null);
  });
});
