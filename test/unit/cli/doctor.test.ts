import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { doctor } from "../../../src/cli/commands/doctor.ts";
import type { Invocation } from "../../../src/cli/invocation.ts";
import { doctorReport } from "../../../src/cli/render/host.ts";
import type { DoctorReport } from "../../../src/contract/host-operations.ts";

const HEALTHY: DoctorReport = {
  platform: "linux-x86_64",
  runtime_ok: true,
  issues: [],
  fix_command: null,
  kvm: { exists: true, readable: true, writable: true, usable: true, reason: "a vCPU ran" },
  machine: {
    vmm: "qemu",
    vmm_version: "7.2",
    accelerator: "kvm",
    isolation: "hardware",
    confinement: "full",
    confinement_reason: null,
    execution_mode: "guest_serial",
    reason: "KVM works",
  },
  kernel: { source: "environment", ok: true },
  capabilities: { vm_boot: true, guest_exec: true, guest_network: false },
  networking: { tun: false, ip_forward: true },
  cache_dir: "/home/you/.cache/pyro/environments",
  state_dir: "/home/you/.local/state/pyro",
  runtime_dir: "/run/user/1000/pyro",
  checks: [],
};

const BROKEN: DoctorReport = {
  ...HEALTHY,
  runtime_ok: false,
  machine: null,
  issues: ["QEMU is not installed\u001b[2J"],
  checks: [{ id: "qemu", ok: false, required: true, detail: "not found", fix: "apt-get install qemu-system-x86" }],
};

interface Heard {
  readonly results: string[];
  readonly notes: string[];
}

function invocation(
  reports: DoctorReport[],
  extras: Record<string, unknown>,
  json = false,
): { call: Invocation; heard: Heard } {
  const heard: Heard = { results: [], notes: [] };
  const pyro = { doctor: () => Promise.resolve(reports.length > 1 ? reports.shift() : reports[0]) };
  const output = {
    result: (text: string) => void heard.results.push(text),
    note: (line: string) => void heard.notes.push(line),
    interactive: false,
  };
  const interruption = { signal: new AbortController().signal };
  return { call: { pyro, input: {}, json, extras, output, interruption } as unknown as Invocation, heard };
}

test("the first lines are the transcript's, ours come after", () => {
  assert.deepEqual(doctorReport(HEALTHY).split("\n"), [
    "Platform: linux-x86_64",
    "Runtime: PASS",
    "KVM: exists=yes readable=yes writable=yes",
    "Environment cache: /home/you/.cache/pyro/environments",
    "Capabilities: vm_boot=yes guest_exec=yes guest_network=no",
    "Networking: tun=no ip_forward=yes",
    "KVM usable: yes (a vCPU ran)",
    "Machine: qemu 7.2 accelerator=kvm execution_mode=guest_serial (KVM works)",
    "Isolation: hardware",
    "Confinement: full",
    "Kernel: environment",
    "",
  ]);
  const broken = doctorReport(BROKEN);
  assert.match(broken, /^Platform: .*\nRuntime: FAIL\n/);
  assert.match(
    broken,
    /\nIssues:\n- QEMU is not installed\\x1b\[2J\nFixes:\n- qemu: apt-get install qemu-system-x86\n$/,
  );
});

test("the exit status says whether a guest can run", async () => {
  assert.equal(await doctor(invocation([HEALTHY], {}).call), 0);
  const { call, heard } = invocation([BROKEN], {}, true);
  assert.equal(await doctor(call), 1);
  assert.equal((JSON.parse(heard.results.join("")) as DoctorReport).runtime_ok, false);
});

test("--fix shows the command, and runs nothing that nobody confirmed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pyro-test-"));
  const made = join(directory, "made");
  const fixable = { ...BROKEN, fix_command: `touch ${made}` };
  const refused = invocation([fixable], { fix: true });
  await assert.rejects(doctor(refused.call), { code: "cancelled" });
  assert.deepEqual(refused.heard.notes, [`[doctor] fix: touch ${made}`]);
  assert.equal(existsSync(made), false);
  assert.equal(await doctor(invocation([fixable, HEALTHY], { fix: true, yes: true }).call), 0);
  assert.equal(existsSync(made), true);
  await assert.rejects(doctor(invocation([{ ...BROKEN, fix_command: "exit 3" }], { fix: true, yes: true }).call), {
    code: "dependency_missing",
  });
  rmSync(directory, { recursive: true });
});
