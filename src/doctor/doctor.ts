/**
 * Says whether this host can run a guest, how, and what is missing. Works on any machine: whatever is absent, forbidden
 * or broken is a line of the report, never an error.
 */
import { userInfo } from "node:os";
import type { DoctorReport } from "../contract/host-operations.ts";
import { PyroError } from "../contract/error.ts";
import { withDeadline } from "../host/deadline.ts";
import { environmentsDirectory, type HostPaths, hostPaths } from "../host/paths.ts";
import { checkDirectories, hasEnvironment } from "./check-directories.ts";
import { checkMachine, type MachineFindings, platformName } from "./check-machine.ts";
import { checkNamespaces } from "./check-namespaces.ts";
import { checkKernel, checkPackage } from "./check-package.ts";
import { checkPrograms } from "./check-programs.ts";
import { checkNetworking, checkResources } from "./check-resources.ts";
import { fault, faultOf, type Finding } from "./finding.ts";
import { type HostFacts, hostFacts } from "./host-facts.ts";
import { detectPackageManager, installCommand, type PackageManager, privileged } from "./requirements.ts";

/** One check may hang (a dead network file system, a program that waits); the report does not. */
const CHECK_DEADLINE_MS = 15_000;
/** The machine's checks have deadlines of their own, which grow where everything is slow; this one is for a bug in them. */
const MACHINE_DEADLINE_MS = 90_000;

export interface DoctorOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly paths?: HostPaths;
  /** Default: this host. */
  readonly facts?: HostFacts;
}

/** Looks at the host. Takes up to 2.5 s the first time after a boot, 0.5 s after that; changes nothing but its cache. */
export async function runDoctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  const facts = options.facts ?? hostFacts(options.env);
  const home = options.paths === undefined ? findHome(facts) : undefined;
  const paths = options.paths ?? hostPaths({ ...facts.env, HOME: home ?? "/nonexistent" });
  // Neither is worth a line of its own: without them the other lines have no command, or ask for a pull.
  const [manager, installed] = await Promise.all([
    guarded("package_manager", detectPackageManager(facts), () => undefined),
    guarded("environments", hasEnvironment(facts, paths), () => false),
  ]);
  const [machine, kernel, network, ...groups] = await Promise.all([
    guarded("machine", checkMachine(facts, paths, manager), noMachine, MACHINE_DEADLINE_MS),
    checkKernel(facts),
    checkNetworking(facts),
    guardedList("programs", checkPrograms(facts, { manager, installed })),
    guardedList("user_namespaces", checkNamespaces(facts, installed)),
    guardedList("directories", checkDirectories(facts, paths, installed)),
    guardedList("package", checkPackage(facts)),
    guardedList(
      "resources",
      checkResources(facts).then((finding) => [finding]),
    ),
  ]);
  const noHome = options.paths === undefined && home === undefined ? [homeless()] : [];
  const findings = [...machine.findings, ...noHome, ...groups.flat(), kernel.finding, network.finding];
  const mended = await Promise.all(findings.map(async (each) => await withFix(facts, each, manager)));
  const runtimeOk = mended.every(({ ok, required }) => ok || !required);
  return {
    platform: platformName(facts),
    runtime_ok: runtimeOk,
    issues: mended.filter(({ ok }) => !ok).map(({ detail, fix }) => (fix === null ? detail : `${detail}; run: ${fix}`)),
    fix_command: await fixCommand(facts, mended, manager),
    fix_download: machine.fixDownload,
    kvm: machine.kvm,
    machine: machine.machine,
    firecracker: machine.firecracker,
    kernel: kernel.kernel,
    // No guest has a network yet, whatever the host has: to say yes here would be a promise.
    capabilities: {
      vm_boot: machine.machine !== null && runtimeOk,
      guest_exec: machine.machine !== null && runtimeOk,
      guest_network: false,
    },
    networking: network.networking,
    cache_dir: environmentsDirectory(paths),
    state_dir: paths.state,
    runtime_dir: paths.runtime,
    checks: mended.map(({ id, ok, required, detail, fix }) => ({ id, ok, required, detail, fix })),
  };
}

/** What a check gives, or what stands for it when the check itself went wrong. */
async function guarded<T>(
  id: string,
  check: Promise<T>,
  instead: (finding: Finding) => T,
  deadlineMs = CHECK_DEADLINE_MS,
): Promise<T> {
  const late = (): PyroError => new PyroError("deadline_exceeded", `${id}: no answer within ${deadlineMs} ms`);
  try {
    return await withDeadline(check, deadlineMs, late);
  } catch (failure) {
    return instead(faultOf(id, failure, { required: true }));
  }
}

async function guardedList(id: string, check: Promise<Finding[]>): Promise<Finding[]> {
  return await guarded(id, check, (finding) => [finding]);
}

function noMachine(finding: Finding): MachineFindings {
  const kvm = { exists: false, readable: false, writable: false, usable: false, reason: finding.detail };
  return { findings: [finding], kvm, machine: null, firecracker: null, fixDownload: null };
}

/** The home directory, or undefined: without HOME and without an entry in passwd there is none. */
function findHome({ env }: HostFacts): string | undefined {
  const home = env["HOME"];
  if (home !== undefined && home !== "") return home;
  try {
    return userInfo().homedir;
  } catch {
    return undefined;
  }
}

function homeless(): Finding {
  return fault(
    "home",
    "HOME is not set and this user has no home directory; set HOME, or PYRO_CACHE_DIR and PYRO_STATE_DIR",
    { required: false },
  );
}

/** The finding with the command that mends it, as it is to be typed on this host. */
async function withFix(facts: HostFacts, finding: Finding, manager: PackageManager | undefined): Promise<Finding> {
  if (finding.ok) return finding;
  const command =
    manager !== undefined && finding.packages.length > 0 ? installCommand(manager, finding.packages) : finding.fix;
  return { ...finding, fix: command === null ? null : await privileged(facts, command) };
}

/** One line for all that can be mended without a decision: the packages together, then each remaining command. */
async function fixCommand(
  facts: HostFacts,
  findings: readonly Finding[],
  manager: PackageManager | undefined,
): Promise<string | null> {
  const open = findings.filter(({ ok }) => !ok);
  const packages = open.flatMap((each) => each.packages);
  const install =
    manager === undefined || packages.length === 0 ? [] : [await privileged(facts, installCommand(manager, packages))];
  const others = open.filter((each) => each.packages.length === 0 && each.automatic).map(({ fix }) => fix);
  const commands = [...install, ...others.filter((fix) => fix !== null)];
  return commands.length === 0 ? null : [...new Set(commands)].join(" && ");
}
