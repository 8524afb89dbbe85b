/** The real sources of machines on this host: installed environments, the chosen VMM, pyro's own agent and launcher. */
import { stat } from "node:fs/promises";
import { release } from "node:os";
import { MEMORY_MIB_MIN, VCPU_COUNT_MIN } from "../contract/limits.ts";
import { ensureInitramfs, initramfsOfInputs, type Initramfs } from "../environment/initramfs.ts";
import { kernelFile } from "../environment/kernel-elf.ts";
import { VOLUME_MODULES, VSOCK_MODULES } from "../environment/kernel-modules.ts";
import { type InstalledEnvironment, type InstalledFiles, installEnvironment, readKept } from "../environment/store.ts";
import { packageFile, shippedDigest, verifyPackageFile } from "../host/package-files.ts";
import type { HostPaths } from "../host/paths.ts";
import { adoptMachine } from "../vmm/adopt.ts";
import { confinementHere } from "../vmm/confinement.ts";
import type { VmmDriver } from "../vmm/driver.ts";
import { firecrackerDriver } from "../vmm/firecracker/driver.ts";
import { type HostCpu, hostCpu } from "../vmm/host-cpu.ts";
import { prepareRestore, qemuDriver } from "../vmm/qemu/driver.ts";
import { findQemu } from "../vmm/qemu/version.ts";
import { endVmm } from "../vmm/vmm-process.ts";
import { selectVmm, type VmmChoice } from "../vmm/select.ts";
import type { BootableEnvironment } from "./bootable.ts";
import type { MachineSources } from "./machines.ts";
import { lastUsedTemplate } from "./template.ts";

/** One warm machine makes the next call quick; more would only hold memory. */
const READY_MACHINES_DEFAULT = 1;
const READY_MACHINES_MAX = 8;

/** A kernel without them runs machines, but not on Firecracker, or none that keep something. */
/** What a guest of pyro's needs besides what every guest does. */
const MODULES = { optionalModules: VSOCK_MODULES, volumeModules: VOLUME_MODULES };

/** The least that there can be. */
const NO_DEFAULTS = { vcpu_count: VCPU_COUNT_MIN, mem_mib: MEMORY_MIB_MIN };

export interface HostSourceOptions {
  readonly paths: HostPaths;
  readonly env: NodeJS.ProcessEnv;
  readonly onNotice: (notice: string) => void;
}

export function hostMachineSources({ paths, env, onNotice }: HostSourceOptions): MachineSources {
  const initramfs = initramfsCache(paths, env);
  const launcher = verifiedLauncher(env);
  // Whoever needs any of it hears of a failure.
  lookAhead(paths, env, launcher).catch(() => undefined);
  // Neither the CPU nor the rate of its counter changes while the host is up.
  let cpu: HostCpu | undefined;
  let toldReason: string | undefined;
  return {
    paths,
    onNotice,
    readyLimit: readyLimit(env),
    adopt: async (left) => await adoptMachine(await launcher(), left),
    endVmm: async (monitor) => await endVmm(await launcher(), monitor),
    environment: async (name, { startedFrom, ...how }) => {
      const kept = startedFrom === undefined ? undefined : await readKept(startedFrom, paths);
      // What it was started as is known already: these are for nobody.
      if (kept !== undefined) return bootable(paths, { ...kept, defaults: NO_DEFAULTS }, await initramfs(kept));
      const installed = await installEnvironment(name, { paths, ...how });
      const { summary } = installed;
      const files = { ...installed, name: summary.name, version: summary.version, directory: summary.install_dir };
      return bootable(paths, files, await initramfs(installed));
    },
    vmm: async (requireIsolation, machine) => {
      const choice = await selectVmm({ paths, env, machine, requireIsolation });
      cpu ??= hostCpu();
      const launcherPath = await launcher();
      const confinement = await confinementHere(launcherPath);
      if (confinement.reason !== null && confinement.reason !== toldReason) {
        toldReason = confinement.reason;
        onNotice(`VMMs run without namespaces and a root of their own: ${confinement.reason}`);
      }
      return {
        isolation: choice.isolation,
        confinement: confinement.level,
        driver: driverOf(choice, { launcher: launcherPath, cpu }),
      };
    },
  };
}

/** What a first call will most likely need, begun while the server starts: asking QEMU, and the template that was used last. */
async function lookAhead(paths: HostPaths, env: NodeJS.ProcessEnv, launcher: () => Promise<string>): Promise<void> {
  const template = async (): Promise<void> => {
    const [launcherPath, last] = await Promise.all([launcher(), lastUsedTemplate(paths)]);
    if (last?.vmm.startsWith("qemu ") === true) await prepareRestore(launcherPath, last.files, last.vmm);
  };
  await Promise.all([template(), findQemu(env)]);
}

/** The one place where a choice becomes a driver. */
export function driverOf(choice: VmmChoice, { launcher, cpu }: { launcher: string; cpu: HostCpu }): VmmDriver {
  const { version } = choice.program;
  const host = { cpuIdentity: cpu.identity, hostKernel: release() };
  const common = { binary: choice.program.path, version, launcher, ...host };
  return choice.kind === "firecracker"
    ? firecrackerDriver(common)
    : qemuDriver({ ...common, accelerator: choice.accelerator, tscKhz: cpu.tscKhz });
}

/** The launcher's path, verified once for each content: reading and hashing it at every start would show. */
function verifiedLauncher(env: NodeJS.ProcessEnv): () => Promise<string> {
  let verified: string | undefined;
  return async () => {
    const identity = await fileIdentity(packageFile("launcher", env).path);
    if (identity === undefined || identity !== verified) {
      await verifyPackageFile("launcher", env);
      verified = identity;
    }
    return packageFile("launcher", env).path;
  };
}

/** Changes when the file is replaced; undefined when there is none. */
async function fileIdentity(path: string): Promise<string | undefined> {
  const file = await stat(path).catch(() => undefined);
  return file === undefined ? undefined : `${file.ino}:${file.size}:${file.mtimeMs}`;
}

function bootable(
  paths: HostPaths,
  installed: InstalledFiles & Pick<InstalledEnvironment, "defaults">,
  initramfs: Initramfs,
): BootableEnvironment {
  const { name, version, directory, rootfs, kernel, defaults } = installed;
  return {
    name,
    version,
    installDir: directory,
    defaults: { vcpuCount: defaults.vcpu_count, memoryMib: defaults.mem_mib },
    rootfs,
    kernel: { sha256: kernel.sha256, file: async (format) => await kernelFile(kernel, format, paths) },
    initramfs,
  };
}

/** Building the initramfs reads some 10 MB to name it by its content; one per agent and kernel is enough. */
function initramfsCache(
  paths: HostPaths,
  env: NodeJS.ProcessEnv,
): (installed: Pick<InstalledEnvironment, "kernel">) => Promise<Initramfs> {
  const built = new Map<string, Initramfs>();
  return async ({ kernel }) => {
    const agent = await fileIdentity(packageFile("agent", env).path);
    const key = `${kernel.sha256} ${agent}`;
    const known = built.get(key);
    if (known !== undefined && (await fileIdentity(known.path)) !== undefined) return known;
    const build = async (): Promise<Initramfs> => {
      const { path: agentPath } = await verifyPackageFile("agent", env);
      return await ensureInitramfs({ paths, kernel, agentPath, ...MODULES });
    };
    const shipped = await shippedDigest("agent", env);
    // An agent or a kernel of the user's own may change, with its modules, and keep its name.
    const own = shipped === undefined || (env["PYRO_KERNEL"] ?? "") !== "";
    const initramfs = own
      ? await build()
      : await initramfsOfInputs(paths, [kernel.sha256, shipped, JSON.stringify(MODULES)], build);
    built.set(key, initramfs);
    return initramfs;
  };
}

/** `PYRO_READY_MACHINES`: how many machines are kept ready at most; 0 keeps none. */
function readyLimit(env: NodeJS.ProcessEnv): number {
  const wanted = Number(env["PYRO_READY_MACHINES"] ?? READY_MACHINES_DEFAULT);
  return Number.isInteger(wanted) && wanted >= 0 ? Math.min(wanted, READY_MACHINES_MAX) : READY_MACHINES_DEFAULT;
}
