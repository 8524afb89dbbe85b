import assert from "node:assert/strict";
import { test } from "node:test";
import { DRIVE_SLOTS, type MachinePlan } from "../../../src/vmm/driver.ts";
import { type GuestMemory, qemuArguments } from "../../../src/vmm/qemu/arguments.ts";

const PLAN: MachinePlan = {
  shape: { vcpuCount: 1, memoryMib: 1024 },
  kernelPath: "/k,ernel",
  initramfsPath: "/initramfs",
  agentParameters: ["pyro.channel=serial"],
  drives: [
    { slot: "rootfs", path: "/a,b/rootfs", readOnly: true },
    { slot: "seed", path: "/seed", readOnly: true },
    { slot: "volume", path: "/volume", readOnly: false },
  ],
  directory: "/m/1",
};
const MEMORIES: readonly GuestMemory[] = [
  { kind: "anonymous" },
  { kind: "shared-file", path: "/t/memory" },
  { kind: "private-file", readOnly: false, path: "/t/memory" },
];

const args = (memory: GuestMemory, accelerator: "kvm" | "tcg" = "tcg", plan = PLAN, incoming = false): string[] =>
  qemuArguments({ plan, accelerator, memory, tscKhz: 2_000_000, incoming });

/** The values of an option, in order. */
const values = (all: readonly string[], option: string): string[] =>
  all.flatMap((word, index) => (word === option ? [all[index + 1] ?? ""] : []));

test("qemu arguments: a comma in a path is doubled where QEMU splits at commas, and only there", () => {
  const all = args({ kind: "shared-file", path: "/t,1/memory" });
  assert.match(values(all, "-drive")[0] ?? "", /file=\/a,,b\/rootfs,/);
  assert.match(values(all, "-object")[0] ?? "", /mem-path=\/t,,1\/memory,/);
  assert.deepEqual(values(all, "-kernel"), ["/k,ernel"]);
});

test("qemu arguments: every plan has the three slots, found by serial, and only the volume can be written", () => {
  for (const memory of MEMORIES) {
    const all = args(memory);
    assert.deepEqual(
      values(all, "-device").flatMap((device) => /serial=(.*)/.exec(device)?.[1] ?? []),
      DRIVE_SLOTS.map((slot) => `pyro-${slot}`),
    );
    assert.deepEqual(
      values(all, "-drive").map((drive) => /readonly=(on|off)/.exec(drive)?.[1]),
      ["on", "on", "off"],
    );
  }
});

test("qemu arguments: the sandbox is always on, and there is no network card and no other default device", () => {
  for (const memory of MEMORIES) {
    for (const accelerator of ["kvm", "tcg"] as const) {
      const all = args(memory, accelerator);
      assert.deepEqual(values(all, "-sandbox"), [
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
      ]);
      assert.ok(all.includes("-nodefaults") && all.includes("-no-user-config") && all.includes("-no-reboot"));
      assert.ok(!all.some((word) => /^-(net|nic|netdev|vnc|gdb|s)$/.test(word)));
      assert.ok(!all.some((word) => /virtio-net|vhost|hostfwd/.test(word)));
    }
  }
});

test("qemu arguments: a restore is its save but for how memory is mapped and where the state comes from", () => {
  const save = args({ kind: "shared-file", path: "/t/memory" });
  const restore = args({ kind: "private-file", readOnly: false, path: "/t/memory" }, "tcg", PLAN, true);
  assert.deepEqual(restore.slice(-2), ["-incoming", "defer"]);
  const different = restore.slice(0, -2).flatMap((word, index) => (word === save[index] ? [] : [[save[index], word]]));
  assert.deepEqual(different, [
    [
      "memory-backend-file,id=ram,size=1024M,mem-path=/t/memory,share=on",
      "memory-backend-file,id=ram,size=1024M,mem-path=/t/memory,share=off",
    ],
  ]);
});

test("qemu arguments: emulated machines are told their clock, hardware ones find it themselves", () => {
  const emulated = values(args({ kind: "anonymous" }), "-append")[0] ?? "";
  assert.match(emulated, /tsc_early_khz=2000000 tsc=reliable/);
  assert.match(emulated, / pyro\.channel=serial$/);
  assert.doesNotMatch(values(args({ kind: "anonymous" }, "kvm"), "-append")[0] ?? "", /tsc/);
});

test("qemu arguments: more than one emulated vCPU runs in more than one thread", () => {
  const two = { ...PLAN, shape: { vcpuCount: 2, memoryMib: 256 } };
  assert.deepEqual(values(args({ kind: "anonymous" }, "tcg", two), "-accel"), ["tcg,thread=multi"]);
  assert.deepEqual(values(args({ kind: "anonymous" }, "tcg", two), "-smp"), ["2"]);
  assert.deepEqual(values(args({ kind: "anonymous" }), "-accel"), ["tcg,thread=single"]);
});
