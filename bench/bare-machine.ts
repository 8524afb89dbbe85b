/** The baseline: QEMU and the guest as pyro uses them, booted cold, with nothing of pyro's in between. */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { MachineName } from "../src/contract/run.ts";
import { type GuestLink, openGuestLink } from "../src/guest/link.ts";
import type { HostPaths } from "../src/host/paths.ts";
import { emptySeedPath, type MachineKind, machinePlan } from "../src/machine/bootable.ts";
import { startExec } from "../src/machine/exec.ts";
import { configureGuest } from "../src/machine/guest-setup.ts";
import { createMachineDirectory, createPlaceholderVolume } from "../src/machine/machine-directory.ts";
import { hostMachineSources } from "../src/machine/host-sources.ts";
import { hostCpu } from "../src/vmm/host-cpu.ts";
import { qemuArguments } from "../src/vmm/qemu/arguments.ts";
import { QemuMachine } from "../src/vmm/qemu/machine.ts";
import { selectVmm } from "../src/vmm/select.ts";
import { packageFile } from "../src/host/package-files.ts";
import { SocketSlot } from "../src/vmm/socket-slot.ts";

const DEADLINE_MS = 120_000;

/** The compiled bench lies beside no agent or launcher of its own; what it starts as users do finds the shipped ones. */
const ENV: NodeJS.ProcessEnv = {
  ...process.env,
  PYRO_AGENT_PATH: join(process.cwd(), "dist", "guest", "pyro-agent"),
  PYRO_LAUNCHER_PATH: join(process.cwd(), "dist", "host", "pyro-launch"),
};

/** The machine that is asked for, or the best that works. */
export async function machineKind(paths: HostPaths, environment: string, machine?: MachineName): Promise<MachineKind> {
  const sources = hostMachineSources({ paths, env: ENV, onNotice: () => undefined });
  const bootable = await sources.environment(environment, {
    force: false,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  return { environment: bootable, shape: bootable.defaults, ...(await sources.vmm("any", machine)) };
}

export interface BareMachine {
  readonly link: GuestLink;
  /** The raw stream of a third virtio-serial port, which the guest has as /dev/vport0p3. */
  readonly rawPort: () => Promise<Duplex>;
  readonly close: () => Promise<void>;
}

/** Boots cold, to the moment at which commands are answered. */
export async function bootBare(paths: HostPaths, kind: MachineKind): Promise<BareMachine> {
  const id = randomBytes(6).toString("hex");
  const { directory, vmmDirectory } = createMachineDirectory(paths, id);
  const volumePath = createPlaceholderVolume(directory);
  const plan = await machinePlan(kind, vmmDirectory, { seedPath: emptySeedPath(paths.cache), volumePath });
  const raw = await SocketSlot.listen(join(vmmDirectory, "raw.sock"));
  const choice = await selectVmm({ paths, env: ENV });
  const args = [
    ...qemuArguments({
      plan,
      accelerator: choice.accelerator,
      tscKhz: hostCpu().tscKhz,
      memory: { kind: "anonymous" },
    }),
    ...[
      "-chardev",
      "socket,id=raw,path=raw.sock,server=off,reconnect=1",
      "-device",
      "virtserialport,chardev=raw,name=bench.raw",
    ],
  ];
  const start = {
    binary: choice.program.path,
    accelerator: choice.accelerator,
    launcher: packageFile("launcher", ENV).path,
    readOnlyPaths: [],
    writablePaths: [],
    descriptors: [],
  };
  const vmm = await QemuMachine.start(start, plan, args);
  const link = await openGuestLink(await vmm.connect("control", DEADLINE_MS), DEADLINE_MS);
  await configureGuest(link, id);
  return {
    link,
    rawPort: async () => await raw.take(DEADLINE_MS),
    close: async () => {
      link.close();
      await vmm.kill();
      await raw.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Runs a command in the bare guest to its end and gives its standard output. */
export async function execBare(link: GuestLink, argv: readonly string[]): Promise<string> {
  const chunks: Uint8Array[] = [];
  const exec = startExec(link, {
    argv,
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/",
    user: "root",
    timeLimitMs: DEADLINE_MS,
    stdin: undefined,
    onOutput: (_stream, data) => void chunks.push(data),
  });
  const outcome = await exec.outcome;
  if (outcome.exitCode !== 0)
    throw new Error(`${argv.join(" ")} ended with ${outcome.exitCode}: ${Buffer.concat(chunks).toString()}`);
  return Buffer.concat(chunks).toString();
}
