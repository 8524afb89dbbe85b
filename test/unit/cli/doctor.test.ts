import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
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
  fix_download: null,
  kvm: { exists: true, readable: true, writable: true, usable: true, reason: "a vCPU ran" },
  machine: {
    name: "qemu-kvm",
    vmm: "qemu",
    vmm_version: "7.2",
    accelerator: "kvm",
    isolation: "hardware",
    confinement: "full",
    confinement_reason: null,
    execution_mode: "guest_serial",
    reason: "KVM works",
  },
  firecracker: null,
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
    "Firecracker: none",
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

test("--fix shows what it would download, and downloads nothing that nobody confirmed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pyro-test-"));
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? "");
    response.end("not Firecracker");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const before = { ...process.env };
  Object.assign(process.env, { PYRO_FIRECRACKER_MIRROR: url, PYRO_CACHE_DIR: directory });
  try {
    const fix_download = { program: "firecracker", version: "1.12.1", url, sha256: "5ha", directory } as const;
    const offered = { ...HEALTHY, fix_download };
    assert.match(
      doctorReport(offered),
      /\nFix: download Firecracker 1\.12\.1 from .*\nRun it with: pyro doctor --fix\n$/,
    );
    const refused = invocation([offered], { fix: true });
    await assert.rejects(doctor(refused.call), { code: "cancelled" });
    assert.equal(refused.heard.notes.length, 1);
    assert.match(
      refused.heard.notes[0] ?? "",
      /^\[doctor\] fix: download Firecracker 1\.12\.1 from .* \(SHA-256 5ha\) into/,
    );
    assert.deepEqual(requests, []);
    // The variable moves the address, and nothing moves the hash.
    await assert.rejects(doctor(invocation([offered], { fix: true, yes: true }).call), { code: "artifact_corrupt" });
    assert.deepEqual(requests, ["/v1.12.1/firecracker-v1.12.1-x86_64.tgz"]);
    assert.equal(existsSync(join(directory, "firecracker")), false);
  } finally {
    for (const name of ["PYRO_FIRECRACKER_MIRROR", "PYRO_CACHE_DIR"]) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  }
});
