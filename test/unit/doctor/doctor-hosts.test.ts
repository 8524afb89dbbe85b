/** A table of hosts, and what doctor says of each. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { doctor } from "../../../src/contract/host-operations.ts";
import { ARCH, diagnose, type FakeHost, FEDORA, UBUNTU } from "./fake-host.ts";

const APT = "sudo apt-get update && sudo apt-get install --yes --no-install-recommends";
const NO_PERMISSION = {
  exists: true,
  readable: false,
  writable: false,
  identity: "1",
  obstacle: { reason: "no permission on /dev/kvm: its group is kvm", fix: "sudo usermod -aG kvm $USER" },
};

interface Case {
  readonly name: string;
  readonly host: FakeHost;
  readonly runs: boolean;
  /** Checks that are not ok, in order. */
  readonly faults: readonly string[];
  readonly fixCommand: RegExp | null;
  readonly accelerator?: "kvm" | "tcg" | null;
}

/** Hosts and what doctor says of them. */
const HOSTS: readonly Case[] = [
  { name: "Debian with everything", host: {}, runs: true, faults: [], fixCommand: null, accelerator: "kvm" },
  {
    name: "Debian with nothing installed",
    host: { programs: "none", files: { "usr/share/keyrings/debian-archive-keyring.gpg": null } },
    runs: false,
    faults: ["qemu", "kvm", "mmdebstrap", "debian-keyring", "mksquashfs", "newuidmap", "mkfs-btrfs"],
    fixCommand: new RegExp(
      `^${APT} qemu-system-x86 mmdebstrap debian-archive-keyring squashfs-tools uidmap btrfs-progs$`,
    ),
    accelerator: null,
  },
  {
    name: "Debian with nothing installed, as root without sudo",
    host: { programs: "none", facts: { uid: 0 } },
    runs: false,
    faults: ["qemu", "kvm", "mmdebstrap", "mksquashfs", "mkfs-btrfs"],
    fixCommand:
      /^apt-get update && apt-get install --yes --no-install-recommends qemu-system-x86 mmdebstrap squashfs-tools btrfs-progs$/,
    accelerator: null,
  },
  {
    name: "Fedora with nothing installed",
    host: { programs: "none", osRelease: FEDORA, packageManager: "dnf" },
    runs: false,
    faults: ["qemu", "kvm", "mmdebstrap", "mksquashfs", "newuidmap", "mkfs-btrfs"],
    fixCommand: /^sudo dnf install .*qemu-system-x86-core mmdebstrap squashfs-tools shadow-utils btrfs-progs$/,
    accelerator: null,
  },
  {
    name: "Arch with nothing installed",
    host: { programs: "none", osRelease: ARCH, packageManager: "pacman" },
    runs: false,
    faults: ["qemu", "kvm", "mmdebstrap", "mksquashfs", "newuidmap", "mkfs-btrfs"],
    fixCommand: /^sudo pacman --sync .*qemu-system-x86 mmdebstrap squashfs-tools shadow btrfs-progs$/,
    accelerator: null,
  },
  {
    name: "a distribution nobody heard of, with apt-get",
    host: { programs: "none", osRelease: "ID=hannah\n" },
    runs: false,
    faults: ["qemu", "kvm", "mmdebstrap", "mksquashfs", "newuidmap", "mkfs-btrfs"],
    fixCommand: /apt-get install/,
    accelerator: null,
  },
  {
    name: "Ubuntu 24.04 with AppArmor's rule and its own profile for mmdebstrap",
    host: {
      osRelease: UBUNTU,
      files: { "proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n", "etc/apparmor.d/mmdebstrap": "" },
    },
    runs: true,
    faults: ["apparmor_userns"],
    fixCommand: null,
  },
  {
    name: "Ubuntu with AppArmor's rule and no profile",
    host: { osRelease: UBUNTU, files: { "proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n" } },
    runs: false,
    faults: ["apparmor_userns"],
    fixCommand:
      /tee \/etc\/apparmor\.d\/pyro-launch .*profile mmdebstrap "\/usr\/bin\/mmdebstrap" flags=\(unconfined\) \{ userns, \}.*apparmor_parser --replace/,
  },
  {
    name: "no KVM, CPU without virtualisation",
    host: { kvm: "missing", files: { "proc/cpuinfo": "cpu MHz : 2000\n" } },
    runs: true,
    faults: ["kvm"],
    fixCommand: null,
    accelerator: "tcg",
  },
  {
    name: "no KVM, module not loaded",
    host: { kvm: "missing" },
    runs: true,
    faults: ["kvm"],
    fixCommand: /^sudo modprobe kvm_amd$/,
    accelerator: "tcg",
  },
  {
    name: "KVM without permission",
    host: { facts: { kvmDevice: async () => await Promise.resolve(NO_PERMISSION) } },
    runs: true,
    faults: ["kvm"],
    fixCommand: /^sudo usermod -aG kvm \$USER$/,
    accelerator: "tcg",
  },
  {
    name: "KVM that opens and hangs",
    host: { kvm: "hangs" },
    runs: true,
    faults: ["kvm"],
    fixCommand: null,
    accelerator: "tcg",
  },
  {
    name: "KVM that makes QEMU abort",
    host: { kvm: "aborts" },
    runs: true,
    faults: ["kvm"],
    fixCommand: null,
    accelerator: "tcg",
  },
  {
    name: "KVM asked for and not usable",
    host: { kvm: "aborts", env: { PYRO_MACHINE: "qemu-kvm" } },
    runs: false,
    faults: ["kvm", "machine"],
    fixCommand: null,
    accelerator: null,
  },
  {
    name: "emulation asked for",
    host: { env: { PYRO_MACHINE: "qemu-tcg" } },
    runs: true,
    faults: [],
    fixCommand: null,
    accelerator: "tcg",
  },
  {
    name: "an unknown PYRO_MACHINE",
    host: { env: { PYRO_MACHINE: "vmware" } },
    runs: false,
    faults: ["machine"],
    fixCommand: null,
    accelerator: null,
  },
  {
    name: "a QEMU that cannot even emulate",
    host: { kvm: "missing", tcg: "aborts" },
    runs: false,
    faults: ["kvm", "machine"],
    fixCommand: /modprobe/,
    accelerator: null,
  },
  {
    name: "QEMU too old",
    host: { qemuVersion: "6.2.0", firecracker: false },
    runs: false,
    faults: ["qemu", "kvm"],
    fixCommand: /qemu-system-x86$/,
    accelerator: null,
  },
  {
    name: "Firecracker and no QEMU",
    host: { qemuVersion: null },
    runs: true,
    faults: [],
    fixCommand: null,
    accelerator: "kvm",
  },
  {
    name: "aarch64",
    host: { facts: { arch: "arm64" } },
    runs: false,
    faults: ["platform"],
    fixCommand: null,
    accelerator: null,
  },
  {
    name: "not Linux",
    host: { facts: { platform: "darwin" } },
    runs: false,
    faults: ["platform"],
    fixCommand: null,
    accelerator: null,
  },
  {
    name: "full disk",
    host: { freeBytes: 0 },
    runs: false,
    faults: ["cache_dir", "state_dir", "runtime_dir"],
    fixCommand: null,
  },
  {
    name: "too little room for a pull",
    host: { freeBytes: 500 * 1024 ** 2 },
    runs: false,
    faults: ["cache_dir"],
    fixCommand: null,
  },
  {
    name: "no subordinate ids, and another user's range in the usual place",
    host: { files: { "etc/subuid": "else:100000:65536\n", "etc/subgid": null } },
    runs: false,
    faults: ["subordinate_ids"],
    fixCommand: /^sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 you$/,
  },
  {
    name: "user namespaces switched off, the Debian way",
    host: { files: { "proc/sys/kernel/unprivileged_userns_clone": "0\n" } },
    runs: false,
    faults: ["user_namespaces"],
    fixCommand: /kernel\.unprivileged_userns_clone = 1.*sysctl --load/,
  },
  {
    name: "user namespaces limited to none",
    host: { files: { "proc/sys/user/max_user_namespaces": "0\n" } },
    runs: false,
    faults: ["user_namespaces"],
    fixCommand: /user\.max_user_namespaces/,
  },
  {
    name: "a runtime directory too long for sockets",
    host: { runtimeName: "r".repeat(90) },
    runs: false,
    faults: ["socket_path"],
    fixCommand: null,
  },
  {
    name: "no /proc, no /etc, no PATH",
    host: { files: nothing(), env: { PATH: "" } },
    runs: false,
    faults: [
      "qemu",
      "cpu",
      "kvm",
      "mmdebstrap",
      "debian-keyring",
      "mksquashfs",
      "newuidmap",
      "mkfs-btrfs",
      "subordinate_ids",
    ],
    fixCommand: /usermod/,
    accelerator: null,
  },
  {
    name: "a kernel of one's own that is not there",
    host: { env: { PYRO_KERNEL: "/no/such/kernel" } },
    runs: false,
    faults: ["kernel"],
    fixCommand: null,
  },
  {
    name: "an agent of one's own that is not there",
    host: { env: { PYRO_AGENT_PATH: "/no/such/agent" } },
    runs: false,
    faults: ["agent"],
    fixCommand: null,
  },
  {
    name: "little memory",
    host: { files: { "proc/meminfo": "MemAvailable: 500000 kB\n" } },
    runs: true,
    faults: ["resources"],
    fixCommand: null,
  },
];

function nothing(): Record<string, null> {
  const paths = [
    "etc/os-release",
    "etc/group",
    "etc/subuid",
    "etc/subgid",
    "proc/cpuinfo",
    "proc/meminfo",
    "dev/kvm",
    "dev/net/tun",
  ];
  const more = [
    "proc/sys/net/ipv4/ip_forward",
    "proc/sys/user/max_user_namespaces",
    "usr/share/keyrings/debian-archive-keyring.gpg",
  ];
  return Object.fromEntries([...paths, ...more].map((path) => [path, null]));
}

describe("doctor on a table of hosts", () => {
  for (const { name, host, runs, faults, fixCommand, accelerator } of HOSTS) {
    it(name, async () => {
      const report = await diagnose(host);
      doctor.output.parse(report);
      assert.deepEqual(
        report.checks.filter(({ ok }) => !ok).map(({ id }) => id),
        faults,
      );
      assert.equal(report.runtime_ok, runs);
      assert.equal(report.issues.length, faults.length);
      if (fixCommand === null) assert.equal(report.fix_command, null);
      else assert.match(report.fix_command ?? "", fixCommand);
      if (accelerator !== undefined) assert.equal(report.machine?.accelerator ?? null, accelerator);
      const identities = report.checks.map(({ id }) => id);
      assert.deepEqual(identities, [...new Set(identities)], "a check's id stands for one check");
    });
  }
});
