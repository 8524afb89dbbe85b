/**
 * The machine layer itself on one driver, in directories of its own: for what no call of the SDK shows, and for a driver
 * that is not chosen yet.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { MACHINE_NAMES, type MachineName } from "../../src/contract/run.ts";
import { PyroError } from "../../src/contract/error.ts";
import { openGuestLink } from "../../src/guest/link.ts";
import { packageFile } from "../../src/host/package-files.ts";
import {
  type HostPaths,
  hostPaths,
  machineRuntimeDirectory,
  makePrivateDirectory,
  templatesDirectory,
} from "../../src/host/paths.ts";
import { Scope } from "../../src/host/scope.ts";
import { type MachineKind, machinePlan } from "../../src/machine/bootable.ts";
import { startExec } from "../../src/machine/exec.ts";
import { keptExec } from "../../src/machine/kept-exec.ts";
import { configureGuest } from "../../src/machine/guest-setup.ts";
import { driverOf, hostMachineSources } from "../../src/machine/host-sources.ts";
import {
  createMachineDirectory,
  createPlaceholderVolume,
  ensureEmptySeed,
  newMachineId,
  removeMachineDirectory,
} from "../../src/machine/machine-directory.ts";
import type { Machines } from "../../src/machine/machine.ts";
import { createMachines, type MachineSources } from "../../src/machine/machines.ts";
import { ensureTemplate, type StartContext, type StartedMachine, startFromTemplate } from "../../src/machine/start.ts";
import type { Template } from "../../src/machine/template.ts";
import { adoptMachine } from "../../src/vmm/adopt.ts";
import { confinementHere } from "../../src/vmm/confinement.ts";
import { findFirecracker } from "../../src/vmm/firecracker/binary.ts";
import { hostCpu } from "../../src/vmm/host-cpu.ts";
import { probeKvm } from "../../src/vmm/kvm-probe.ts";
import { findQemu } from "../../src/vmm/qemu/version.ts";
import { endVmm } from "../../src/vmm/vmm-process.ts";
import { chooseVmm } from "../../src/vmm/select.ts";

const ENVIRONMENT = "debian:12";
const GREETING_DEADLINE_MS = 60_000;
const SCRIPT_LIMIT_MS = 60_000;
/** What takes long to make and is only read lies with the suite's own; templates do not. */
const SHARED = ["environments", "kernels", "initramfs", "vmlinux"];

export class DriverHost {
  readonly paths: HostPaths;
  readonly kind: MachineKind;
  /** What was said so far that no call failed for. */
  readonly notices: string[];
  readonly #machine: MachineName;
  #template: Template | undefined;

  private constructor(paths: HostPaths, kind: MachineKind, of: { machine: MachineName; notices: string[] }) {
    this.paths = paths;
    this.kind = kind;
    this.#machine = of.machine;
    this.notices = of.notices;
  }

  /** For guests with so much memory, which are a kind of their own, on this machine. */
  static async open(machine: MachineName, memoryMib: number): Promise<DriverHost> {
    const paths = ownDirectories(hostPaths());
    const notices: string[] = [];
    const sources = hostMachineSources({ paths, env: process.env, onNotice: (notice) => notices.push(notice) });
    const { signal } = new AbortController();
    const environment = await sources.environment(ENVIRONMENT, { force: false, signal, onProgress: () => undefined });
    await ensureEmptySeed(paths);
    const driver = await driverFor(machine, packageFile("launcher").path);
    const kind: MachineKind = {
      environment,
      shape: { vcpuCount: 1, memoryMib },
      driver,
      isolation: driver.accelerator === "kvm" ? "hardware" : "emulated",
      confinement: (await confinementHere(packageFile("launcher").path)).level,
    };
    return new DriverHost(paths, kind, { machine, notices });
  }

  /** The device nodes that its VMMs may use. */
  get devices(): readonly string[] {
    return this.kind.driver.accelerator === "kvm" ? ["/dev/kvm"] : [];
  }

  get context(): StartContext {
    return {
      paths: this.paths,
      onNotice: (notice) => void this.notices.push(notice),
      signal: new AbortController().signal,
    };
  }

  /** The template, made when there is none; `unfit`: any other than that one. */
  async template(unfit?: Template): Promise<Template> {
    if (this.#template === undefined || this.#template.id === unfit?.id) {
      this.#template = await ensureTemplate(this.kind, this.context, () => undefined, unfit?.id);
    }
    return this.#template;
  }

  /** Forgets the template that it knows, not its files. */
  forgetTemplate(): void {
    this.#template = undefined;
  }

  /** A restored machine. */
  async start(): Promise<StartedMachine> {
    return await startFromTemplate(this.kind, await this.template(), this.context);
  }

  /** A machine restored by a launcher that is another one than pyro's. */
  async startBy(launcher: string): Promise<StartedMachine> {
    const driver = await driverFor(this.#machine, launcher);
    return await startFromTemplate({ ...this.kind, driver }, await this.template(), this.context);
  }

  /** A restored machine with another seed, and with a volume that `fill` was given before. */
  async startOn(seedPath: string, fill: (volumePath: string) => Promise<void>): Promise<StartedMachine> {
    const template = await this.template();
    const id = newMachineId();
    const scope = new Scope();
    scope.defer(() => removeMachineDirectory(this.paths, id));
    try {
      const { directory, vmmDirectory } = createMachineDirectory(this.paths, id);
      const volumePath = createPlaceholderVolume(directory);
      await fill(volumePath);
      const vmm = await this.kind.driver.restore(
        await machinePlan(this.kind, vmmDirectory, { seedPath, volumePath }),
        template,
      );
      scope.defer(() => vmm.kill());
      const link = await openGuestLink(await vmm.connect("control", GREETING_DEADLINE_MS), GREETING_DEADLINE_MS);
      scope.defer(() => link.close());
      await configureGuest(link, id);
      return {
        id,
        vmm,
        link,
        exec: (request) => startExec(link, request),
        kept: (execId) => keptExec(link.agent, execId),
        scope,
      };
    } catch (failure) {
      await scope.close();
      throw failure;
    }
  }

  /** A server's machines, as a server would have them on this driver; what an earlier one left is ended by that. */
  async machines(claimed: ReadonlySet<string> = new Set()): Promise<Machines> {
    const sources: MachineSources = {
      paths: this.paths,
      readyLimit: 0,
      onNotice: (notice) => void this.notices.push(notice),
      environment: async () => await Promise.resolve(this.kind.environment),
      vmm: async () => await Promise.resolve(this.kind),
      adopt: async (left) => await adoptMachine(packageFile("launcher").path, left),
      endVmm: async (monitor) => await endVmm(packageFile("launcher").path, monitor),
    };
    return await createMachines(sources, claimed);
  }

  directoryOf(id: string): string {
    return machineRuntimeDirectory(this.paths, id);
  }

  /** What no failed start may leave: processes, machines' directories, parts of templates. */
  leftovers(): string[] {
    const names = (directory: string): string[] => {
      try {
        return readdirSync(directory);
      } catch {
        return [];
      }
    };
    return [
      ...monitors().map((pid) => `process ${pid}`),
      ...names(this.directoryOf("")).map((name) => `machine ${name}`),
      ...names(templatesDirectory(this.paths)).filter((name) => name.startsWith(".")),
    ];
  }

  /** Removes its directories. */
  close(): void {
    for (const path of [this.paths.cache, this.paths.runtime]) rmSync(path, { recursive: true, force: true });
  }
}

/** The machine that PYRO_MACHINE names. */
export function driverOfEnvironment(): MachineName {
  const name = process.env["PYRO_MACHINE"];
  return MACHINE_NAMES.find((each) => each === name) ?? assert.fail(`PYRO_MACHINE is ${name}`);
}

/** What a program, or a shell's script, said in the guest as root; it must succeed. */
export async function run(
  { exec }: Pick<StartedMachine, "exec">,
  command: string | readonly string[],
): Promise<string> {
  const said = { stdout: "", stderr: "" };
  const { exitCode } = await exec({
    argv: typeof command === "string" ? ["/bin/sh", "-c", command] : command,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    cwd: "/",
    user: "root",
    timeLimitMs: SCRIPT_LIMIT_MS,
    stdin: undefined,
    onOutput: (stream, data) => void (said[stream] += Buffer.from(data).toString()),
  }).outcome;
  assert.equal(exitCode, 0, `${said.stderr}${said.stdout}`);
  return said.stdout;
}

/** Launchers that are children of this process: each watches a VMM. */
export function monitors(): number[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim().split(" ");
  return children.map(Number).filter((pid) => pid !== 0 && nameOf(pid) === "pyro-launch");
}

function nameOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** A cache of its own, and a runtime directory with a short name: sockets lie in it (unix(7)). */
function ownDirectories(of: HostPaths): HostPaths {
  for (const directory of [of.state, of.runtime]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const cache = mkdtempSync(join(of.state, "drivers-"));
  for (const name of SHARED) symlinkSync(makePrivateDirectory(join(of.cache, name)), join(cache, name));
  return { ...of, cache, runtime: mkdtempSync(join(of.runtime, "d-")) };
}

/** The driver of one machine, or why it cannot be had here. */
async function driverFor(machine: MachineName, launcher: string): Promise<MachineKind["driver"]> {
  // Where the suite has it: a KVM is asked once.
  const paths = hostPaths();
  const orError = async <T>(found: Promise<T>): Promise<T | PyroError> =>
    await found.catch((failure: unknown) => PyroError.from(failure));
  const qemu = await orError(findQemu());
  const firecracker = await orError(findFirecracker({ paths, env: process.env }));
  const usable = <T extends object>(found: T | PyroError): T | undefined => (PyroError.is(found) ? undefined : found);
  const kvm = await probeKvm(paths, { qemu: usable(qemu), firecracker: usable(firecracker) });
  return driverOf(chooseVmm({ firecracker, qemu, kvm }, { machine }), { launcher, cpu: hostCpu() });
}
