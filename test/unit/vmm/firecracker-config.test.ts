import assert from "node:assert/strict";
import { test } from "node:test";
import { DRIVE_SLOTS, type MachinePlan } from "../../../src/vmm/driver.ts";
import {
  bootCalls,
  firecrackerArguments,
  loadCall,
  lookAgainCall,
  saveCall,
} from "../../../src/vmm/firecracker/config.ts";

const PLAN: MachinePlan = {
  shape: { vcpuCount: 2, memoryMib: 256 },
  kernelPath: "/cache/vmlinux.elf",
  initramfsPath: "/cache/initramfs",
  agentParameters: ["pyro.rootfs_type=squashfs", "pyro.channel=vsock"],
  drives: [
    { slot: "volume", path: "/elsewhere/volume.raw", readOnly: false },
    { slot: "rootfs", path: "/elsewhere/rootfs.squashfs", readOnly: true },
    { slot: "seed", path: "/elsewhere/seed.raw", readOnly: true },
  ],
  directory: "/run/user/1/pyro/m/0123456789ab/vmm",
};
const TEMPLATE = { memoryPath: "/cache/t/memory", statePath: "/cache/t/state" };

const bodyOf = (path: string): unknown => bootCalls(PLAN).find((call) => call.path === path)?.body;

test("firecracker config: everything is configured before the vCPUs start", () => {
  assert.deepEqual(
    bootCalls(PLAN).map(({ method, path }) => `${method} ${path}`),
    [
      "PUT /machine-config",
      "PUT /boot-source",
      ...["PUT /drives/rootfs", "PUT /drives/seed", "PUT /drives/volume"],
      "PUT /vsock",
      "PUT /actions",
    ],
  );
  assert.deepEqual(bodyOf("/machine-config"), { vcpu_count: 2, mem_size_mib: 256, smt: false, huge_pages: "None" });
});

test("firecracker config: drives come in the order that the guest is told, whatever the plan's", () => {
  const { boot_args: parameters } = bodyOf("/boot-source") as { boot_args: string };
  assert.match(parameters, new RegExp(` pyro\\.drives=${DRIVE_SLOTS.join(",")} `));
  assert.match(parameters, / pyro\.channel=vsock$/);
});

test("firecracker config: a device state names nothing outside the machine's directory", () => {
  const named = bootCalls(PLAN).flatMap(({ body }) => Object.entries(body));
  for (const [name, value] of named.filter(([each]) => each === "path_on_host" || each === "uds_path")) {
    assert.match(String(value), /^[a-z.-]+$/, name);
  }
});

test("firecracker config: a guest's flush of its volume reaches the disk, and nothing else can be written", () => {
  assert.deepEqual(bodyOf("/drives/volume"), {
    drive_id: "volume",
    path_on_host: "drive-volume",
    is_root_device: false,
    is_read_only: false,
    cache_type: "Writeback",
  });
  for (const slot of ["rootfs", "seed"])
    assert.equal((bodyOf(`/drives/${slot}`) as { is_read_only: boolean }).is_read_only, true);
});

test("firecracker config: a machine is saved whole and loaded as a private mapping, running", () => {
  assert.deepEqual(saveCall(TEMPLATE).body, {
    snapshot_type: "Full",
    snapshot_path: "/cache/t/state",
    mem_file_path: "/cache/t/memory",
  });
  assert.deepEqual(loadCall(TEMPLATE).body, {
    snapshot_path: "/cache/t/state",
    mem_backend: { backend_type: "File", backend_path: "/cache/t/memory" },
    resume_vm: true,
  });
  assert.deepEqual(lookAgainCall("volume").body, { drive_id: "volume", path_on_host: "drive-volume" });
});

test("firecracker config: the seccomp filter stays on", () => {
  const words = firecrackerArguments(PLAN.directory);
  assert.ok(!words.includes("--no-seccomp"));
  assert.deepEqual(words.slice(0, 4), ["--api-sock", "api.sock", "--id", "0123456789ab"]);
});
