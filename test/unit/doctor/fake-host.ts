/** A host that is not this one: a tree of system files, programs that are shell scripts, and directories of its own. */
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { DoctorReport } from "../../../src/contract/host-operations.ts";
import { runDoctor } from "../../../src/doctor/doctor.ts";
import { type HostFacts, hostFacts } from "../../../src/doctor/host-facts.ts";
import type { HostPaths } from "../../../src/host/paths.ts";
import { BEGIN_MARK, END_MARK } from "../../../src/vmm/kvm-probe-elf.ts";

const CPUINFO = ["model name\t: AMD EPYC 9B14", "cpu MHz\t\t: 2596.120", "flags\t\t: fpu tsc svm avx2", ""].join("\n");

const script = (body: string): string => `#!/bin/sh\n${body}\n`;
const saying = (version: string): string => script(`echo "${version}"`);

/** What the fake QEMU does with a vCPU: comes to the end, never does, or aborts as with an MSR it may not set. */
const VCPU = {
  runs: "printf B; exit 15",
  hangs: "printf B; exec sleep 60",
  aborts: "echo 'error: failed to set MSR' >&2; kill -ABRT $$",
};

export interface FakeHost {
  readonly osRelease?: string;
  /** Programs on its PATH by name, "standard" for all that pyro needs. */
  readonly programs?: "standard" | "none";
  readonly packageManager?: "apt-get" | "dnf" | "pacman";
  /** Null: there is none. */
  readonly qemuVersion?: string | null;
  /** Whether there is a Firecracker in PATH; its vCPU runs. Default: with "standard". */
  readonly firecracker?: boolean;
  readonly kvm?: keyof typeof VCPU | "missing";
  readonly tcg?: keyof typeof VCPU;
  /** More system files, relative to the root; null: that one is not there. */
  readonly files?: Readonly<Record<string, string | null>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly facts?: Partial<HostFacts>;
  /** Free bytes of every directory. */
  readonly freeBytes?: number;
  readonly runtimeName?: string;
}

export const DEBIAN = 'ID=debian\nVERSION_ID="12"\n';
export const UBUNTU = "ID=ubuntu\nID_LIKE=debian\n";
export const FEDORA = "ID=fedora\n";
export const ARCH = "ID=arch\n";

/** Makes the host, runs doctor on it, removes it; `times` runs of which the last one's report is given. */
export async function diagnose(host: FakeHost, times = 1): Promise<DoctorReport> {
  const base = mkdtempSync(join(tmpdir(), "pyro-fake-"));
  try {
    const root = join(base, "root");
    const bin = join(base, "bin");
    const write = (path: string, text: string, mode = 0o644): void => {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
      chmodSync(path, mode);
    };
    for (const [path, text] of Object.entries(systemFiles(host))) if (text !== null) write(join(root, path), text);
    for (const [name, text] of Object.entries(programs(host))) write(join(bin, name), text, 0o755);
    write(join(base, "agent"), "", 0o755);
    const env = {
      PATH: bin,
      HOME: join(base, "home"),
      PYRO_AGENT_PATH: join(base, "agent"),
      PYRO_LAUNCHER_PATH: join(base, "agent"),
      ...host.env,
    };
    const paths = pathsIn(base, host);
    const options = { paths, facts: { ...factsOf(host, env, root), ...host.facts } };
    for (let done = 1; done < times; done += 1) await runDoctor(options);
    return await runDoctor(options);
  } finally {
    await rm(base, { recursive: true, force: true });
  }
}

function systemFiles({ osRelease = DEBIAN, kvm = "runs", files = {} }: FakeHost): Record<string, string | null> {
  return {
    "etc/os-release": osRelease,
    "etc/group": "root:x:0:\nkvm:x:104:\n",
    "etc/subuid": "you:100000:65536\n",
    "etc/subgid": "you:100000:65536\n",
    "proc/cpuinfo": CPUINFO,
    "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n",
    "proc/sys/net/ipv4/ip_forward": "1\n",
    "proc/sys/user/max_user_namespaces": "63000\n",
    "dev/net/tun": "",
    "dev/kvm": kvm === "missing" ? null : "",
    "usr/share/keyrings/debian-archive-keyring.gpg": "",
    ...files,
  };
}

function programs(host: FakeHost): Record<string, string> {
  const {
    programs: which = "standard",
    packageManager = "apt-get",
    qemuVersion = "8.2.2",
    kvm = "runs",
    tcg = "runs",
    firecracker = which === "standard",
  } = host;
  const always = { [packageManager]: script("exit 0"), sudo: script("exit 0") };
  if (which === "none") return always;
  const qemu = [
    'case "$*" in',
    `  --version) echo "QEMU emulator version ${qemuVersion} (Fake)" ;;`,
    `  *"-accel kvm"*) ${VCPU[kvm === "missing" ? "runs" : kvm]} ;;`,
    `  *) ${VCPU[tcg]} ;;`,
    "esac",
  ].join("\n");
  return {
    ...always,
    ...(qemuVersion === null ? {} : { "qemu-system-x86_64": script(qemu) }),
    ...(firecracker ? { firecracker: fakeFirecracker() } : {}),
    mmdebstrap: saying("mmdebstrap 1.4.3"),
    mksquashfs: saying("mksquashfs version 4.6.1 (2023/03/25)"),
    newuidmap: script("exit 1"),
    "mkfs.btrfs": saying("mkfs.btrfs, part of btrfs-progs v6.2"),
  };
}

function fakeFirecracker(): string {
  const octal = (mark: string): string =>
    [...Buffer.from(mark, "latin1")].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  const guest = `printf '${octal(BEGIN_MARK)}'; printf '${octal(END_MARK)}'`;
  return script(`case "$1" in --version) echo "Firecracker v1.12.1" ;; *) ${guest} ;; esac`);
}

function pathsIn(base: string, { runtimeName = "run" }: FakeHost): HostPaths {
  const place = (name: string): string => join(base, "you", name);
  return { cache: place("cache"), state: place("state"), runtime: place(runtimeName), config: place("config") };
}

function factsOf({ freeBytes }: FakeHost, env: NodeJS.ProcessEnv, root: string): HostFacts {
  const real = hostFacts(env, root);
  const uid = 1000;
  return {
    ...real,
    platform: "linux",
    arch: "x64",
    uid,
    userName: "you",
    cpuCount: 8,
    directory: async (path) => {
      const found = await real.directory(path);
      // The test's own user made them, whoever that is.
      return found === undefined ? undefined : { ...found, ownerUid: uid, freeBytes: freeBytes ?? 64 * 1024 ** 3 };
    },
  };
}
