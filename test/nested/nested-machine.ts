/**
 * The nested machine: a guest of ours whose processor has hardware virtualisation, so that /dev/kvm inside it works.
 *
 * It is made of pyro's own parts (agent, guest link, QEMU driver) and differs from a user's machine in its CPU, its size and
 * what its drives hold: the seed is the payload, the volume a disk that stays when the machine is cut off.
 */
import { closeSync, openSync, ftruncateSync } from "node:fs";
import { Scope } from "../../src/host/scope.ts";
import { type GuestLink, openGuestLink } from "../../src/guest/link.ts";
import { startExec } from "../../src/machine/exec.ts";
import { configureGuest } from "../../src/machine/guest-setup.ts";
import { newMachineId } from "../../src/machine/machine-directory.ts";
import type { Exec, ExecOutcome, ExecRequest } from "../../src/machine/machine.ts";
import type { MachinePlan } from "../../src/vmm/driver.ts";
import { hostCpu } from "../../src/vmm/host-cpu.ts";
import { qemuArguments } from "../../src/vmm/qemu/arguments.ts";
import { cpuModel } from "../../src/vmm/qemu/cpu-model.ts";
import { findQemu } from "../../src/vmm/qemu/version.ts";
import { explainLoss } from "../../src/vmm/vmm-exit.ts";
import type { ensureImage } from "./image.ts";
import { type NestedProcess, startNestedProcess } from "./nested-process.ts";
import { INSIDE } from "./places.ts";

/**
 * Room for guests of 512 MiB, some at a time, and for the page cache of their images. With two vCPUs, each a thread of the emulator, its
 * KVM stood still after minutes in one of three runs (soft lockups on both, or on none).
 */
const SHAPE = { vcpuCount: 1, memoryMib: 4096 };
/** Sparse; holds pyro's cache and templates inside. */
const DISK_BYTES = 32 * 1024 ** 3;
/** A boot takes about 10 s on a quiet machine. */
const BOOT_DEADLINE_MS = 180_000;
const SET_UP_LIMIT_MS = 120_000;

/** What every command inside finds in its environment. */
const ENVIRONMENT = {
  PATH: `${INSIDE.payload}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  HOME: "/root",
  LANG: "C.UTF-8",
  LD_LIBRARY_PATH: `${INSIDE.payload}/lib`,
  PYRO_CACHE_DIR: INSIDE.cache,
  PYRO_STATE_DIR: INSIDE.state,
  PYRO_RUNTIME_DIR: INSIDE.runtime,
  PYRO_CONFIG_DIR: "/etc/pyro",
} as const;

/** Makes the machine a host for pyro. A disk that is new gets a file system; one that was cut off keeps what it has. */
const SET_UP = `set -eu
drive() {
  for device in /sys/block/vd*; do
    if [ "$(cat "$device/serial")" = "$1" ]; then echo "/dev/\${device##*/}"; return; fi
  done
  echo "there is no drive $1" >&2; return 1
}
modprobe kvm-amd
test -c /dev/kvm
# As udev leaves it where it runs: 104 is the group kvm of many a Debian host.
chown root:104 /dev/kvm
chmod 660 /dev/kvm
mkdir -p ${INSIDE.payload} ${INSIDE.disk}
mount -t squashfs -o ro "$(drive pyro-seed)" ${INSIDE.payload}
disk=$(drive pyro-volume)
blkid "$disk" >/dev/null || mkfs.ext4 -q -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 "$disk"
mount -t ext4 "$disk" ${INSIDE.disk}
mkdir -p -m 700 ${INSIDE.cache} ${INSIDE.state} ${INSIDE.runtime}
ln -sfn ${INSIDE.payload}/cache/environments ${INSIDE.payload}/cache/kernels ${INSIDE.cache}/
node --version >/dev/null
`;

export interface NestedMachineOptions {
  readonly image: Awaited<ReturnType<typeof ensureImage>>;
  readonly payloadPath: string;
  /** Raw file; made when it is not there. */
  readonly diskPath: string;
  /** For its sockets; short (unix(7)). */
  readonly directory: string;
}

/** A command for `NestedMachine.exec`: words, or one string for a shell. */
export interface NestedCommand {
  readonly command: string | readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeLimitMs: number;
  readonly stdin?: ExecRequest["stdin"];
  readonly onOutput?: ExecRequest["onOutput"];
}

export class NestedMachine {
  readonly #vmm: NestedProcess;
  readonly #link: GuestLink;

  private constructor(vmm: NestedProcess, link: GuestLink) {
    this.#vmm = vmm;
    this.#link = link;
  }

  /** Boots one and waits until it is a host for pyro. @throws PyroError with the console's last lines */
  static async boot(options: NestedMachineOptions): Promise<NestedMachine> {
    await using scope = new Scope();
    makeDisk(options.diskPath);
    const vmm = await startVmm(options);
    scope.defer(() => vmm.kill());
    try {
      const link = await openGuestLink(await vmm.connect("control", BOOT_DEADLINE_MS), BOOT_DEADLINE_MS);
      await configureGuest(link, newMachineId());
      const machine = new NestedMachine(vmm, link);
      await machine.run({ command: SET_UP, timeLimitMs: SET_UP_LIMIT_MS });
      scope.keep();
      return machine;
    } catch (failure) {
      throw await explainLoss(vmm, failure);
    }
  }

  /** Starts a command as root, in the payload's directory. */
  start({ command, env = {}, cwd = "/", timeLimitMs, stdin, onOutput }: NestedCommand): Exec {
    return startExec(this.#link, {
      argv: typeof command === "string" ? ["/bin/bash", "-c", command] : command,
      env: { ...ENVIRONMENT, ...env },
      cwd,
      user: "root",
      timeLimitMs,
      stdin,
      onOutput: onOutput ?? (() => undefined),
    });
  }

  /** Runs a command to its end. */
  async exec(command: NestedCommand): Promise<ExecOutcome> {
    return await this.start(command).outcome;
  }

  /** Runs a command that has to succeed and gives its output. @throws Error with all that it said */
  async run(command: NestedCommand): Promise<string> {
    const said: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
    const outcome = await this.exec({
      ...command,
      onOutput: (stream, data) => void said[stream].push(Buffer.from(data)),
    });
    const [stdout, stderr] = [Buffer.concat(said.stdout).toString(), Buffer.concat(said.stderr).toString()];
    if (outcome.exitCode === 0) return stdout;
    throw new Error(`exit code ${outcome.exitCode} in the nested machine: ${stderr || stdout}`);
  }

  /** Ends it at once, as a power cut does: what it had not written to its disk is lost. */
  async cut(): Promise<void> {
    await this.#vmm.kill();
    this.#link.close();
  }

  /** Last lines of its console. */
  console(): string {
    return this.#vmm.consoleTail();
  }
}

async function startVmm({ image, payloadPath, diskPath, directory }: NestedMachineOptions): Promise<NestedProcess> {
  const { environment, initramfs } = image;
  const plan: MachinePlan = {
    shape: SHAPE,
    kernelPath: environment.kernel.path,
    initramfsPath: initramfs.path,
    agentParameters: [`pyro.rootfs_type=${environment.rootfs.format}`, "pyro.channel=serial"],
    drives: [
      { slot: "rootfs", path: environment.rootfs.path, readOnly: true },
      { slot: "seed", path: payloadPath, readOnly: true },
      { slot: "volume", path: diskPath, readOnly: false },
    ],
    directory,
  };
  const memory = { kind: "anonymous" } as const;
  const args = qemuArguments({ plan, accelerator: "tcg", tscKhz: hostCpu().tscKhz, memory });
  const { path: qemu } = await findQemu();
  return await startNestedProcess(
    directory,
    qemu,
    args.map((word) => (word === cpuModel("tcg") ? `${word},+svm,+npt` : word)),
  );
}

function makeDisk(path: string): void {
  const file = openSync(path, "a", 0o600);
  ftruncateSync(file, DISK_BYTES);
  closeSync(file);
}
