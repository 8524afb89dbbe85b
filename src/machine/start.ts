/** Starting one machine: from its template, or cold to make that template. */
import { stat } from "node:fs/promises";
import { PyroError } from "../contract/error.ts";
import type { HostPaths } from "../host/paths.ts";
import { Scope } from "../host/scope.ts";
import type { GuestLink } from "../guest/link.ts";
import type { MachinePlan, RunningMachine, TemplateFiles } from "../vmm/driver.ts";
import { explainLoss } from "../vmm/vmm-exit.ts";
import { describe, emptySeedPath, type MachineKind, machinePlan, templateParts } from "./bootable.ts";
import type * as GuestSide from "./guest-side.ts";
import type { Exec, ExecRequest, KeptExec, LeftCommand, MachineVolume, VolumeRequest, Workshop } from "./machine.ts";
import {
  createMachineDirectory,
  createPlaceholderVolume,
  keptRecord,
  newMachineId,
  removeMachineDirectory,
  VOLUME_BYTES,
  writeMachineRecord,
} from "./machine-directory.ts";
import { findTemplate, makeTemplate, markUsed, type Template, templateKey } from "./template.ts";

/** A cold boot takes 3-5 s idle under TCG; ten times that on a loaded host is still a boot. */
const BOOT_DEADLINE_MS = 120_000;
/** A restore takes 0.3-0.5 s idle under TCG. */
const RESTORE_DEADLINE_MS = 30_000;

/**
 * The guest's side of a start. It brings gRPC and protobuf along, a good half of the server's code: loaded while the first
 * VMM starts, and not before the server answers.
 */
const loadGuestSide = async (): Promise<typeof GuestSide> => await import("./guest-side.ts");

/** A machine that runs, with its link to the agent. Whoever holds it ends it through `scope`. */
export interface StartedMachine {
  readonly id: string;
  readonly vmm: RunningMachine;
  readonly link: GuestLink;
  /** Starts a command; its outcome settles when it has ended and its output was taken. */
  readonly exec: (request: ExecRequest) => Exec;
  /** A command that was started with `keep`, by its id. */
  readonly kept: (id: string) => KeptExec;
  /** Ends the VMM and removes the machine's directory. */
  readonly scope: Scope;
}

/** A machine that has been configured: commands can be started. */
export interface ConfiguredMachine extends StartedMachine {
  /** Undefined: it keeps nothing. */
  readonly volume: MachineVolume | undefined;
  /** The commands that the guest knows now. */
  readonly commands: () => Promise<LeftCommand[]>;
}

export interface StartContext {
  readonly paths: HostPaths;
  /** Told of what a person should know and no call fails for. */
  readonly onNotice: (notice: string) => void;
  readonly signal: AbortSignal;
}

interface Launch {
  readonly deadlineMs: number;
  /** Undefined: an empty one, that goes with the machine. */
  readonly volumePath: string | undefined;
  /** The same for a machine that the next server takes over. */
  readonly keptVolumePath?: string | undefined;
  /** Undefined: the empty one. */
  readonly seedPath: string | undefined;
  readonly start: (plan: MachinePlan) => Promise<RunningMachine>;
  /** What the guest must have done before the machine counts as started. */
  readonly setUp: (machine: StartedMachine, guestSide: typeof GuestSide) => Promise<void>;
}

/**
 * Starts a configured machine from the template, which must be there.
 * @throws PyroError vmm_failed, artifact_corrupt, guest_unreachable when the template does not start
 */
export async function startFromTemplate(
  kind: MachineKind,
  template: TemplateFiles,
  context: StartContext,
  request?: VolumeRequest,
): Promise<ConfiguredMachine> {
  let volume: MachineVolume | undefined;
  let commands: ConfiguredMachine["commands"] = async () => await Promise.resolve([]);
  const started = await launch(kind, context, {
    deadlineMs: RESTORE_DEADLINE_MS,
    volumePath: request?.path,
    keptVolumePath: request?.path,
    seedPath: request?.seedPath,
    start: (plan) => kind.driver.restore(plan, template, context.signal),
    setUp: async ({ link, id, vmm }, { configureGuest, guestVolume, leftCommands }) => {
      commands = async () => await leftCommands(link.agent);
      const driveBytes = request === undefined ? undefined : await grownDrive(vmm, request.path);
      const opened = await configureGuest(link, id, request && { ...request, driveBytes });
      if (opened !== undefined) volume = guestVolume(link, vmm, opened);
    },
  });
  return { ...started, volume, commands };
}

/** Tells the VMM of a volume that is larger than the template's slot; undefined: it is not. */
async function grownDrive(vmm: RunningMachine, path: string): Promise<number | undefined> {
  const { size } = await stat(path);
  if (size <= VOLUME_BYTES) return undefined;
  await vmm.growVolume(size);
  return size;
}

/** Has a machine from the template, which must be there, do its work, and ends it. @throws PyroError as startFromTemplate */
export async function workFromTemplate(
  kind: MachineKind,
  template: TemplateFiles,
  context: StartContext,
  workshop: Workshop,
): Promise<void> {
  const machine = await launch(kind, context, {
    deadlineMs: RESTORE_DEADLINE_MS,
    volumePath: workshop.volumePath,
    seedPath: workshop.makes === "seed" ? workshop.streamPath : workshop.seedPath,
    start: (plan) => kind.driver.restore(plan, template, context.signal),
    setUp: async ({ link }, { makeSeed, sproutVolume }) => {
      await (workshop.makes === "seed" ? makeSeed(link, workshop.onStep) : sproutVolume(link));
    },
  });
  await machine.scope.close();
}

/**
 * The kind's template, made if there is none but the one named `unfit`. `onBuild` is called before it is made.
 */
export async function ensureTemplate(
  kind: MachineKind,
  context: StartContext,
  onBuild: () => void,
  unfit?: string,
): Promise<Template> {
  const parts = templateParts(kind);
  const found = await findTemplate(context.paths, templateKey(parts));
  if ("template" in found && found.template.id !== unfit) {
    await markUsed(found.template);
    return found.template;
  }
  const why = "template" in found ? "it did not start" : found.missing;
  if (why !== undefined) context.onNotice(`the template of ${kind.environment.name} is made again: ${why}`);
  onBuild();
  return await makeTemplate(context.paths, parts, (files) => coldBootAndSave(kind, files, context));
}

async function coldBootAndSave(kind: MachineKind, files: TemplateFiles, context: StartContext): Promise<void> {
  const machine = await launch(kind, context, {
    deadlineMs: BOOT_DEADLINE_MS,
    volumePath: undefined,
    seedPath: undefined,
    start: (plan) => kind.driver.boot(plan, { memoryPath: files.memoryPath }),
    setUp: async ({ link, vmm }, { prepareTemplate }) => {
      await prepareTemplate(link);
      // A connection does not live across a save.
      link.close();
      await vmm.save(files);
    },
  });
  await machine.scope.close();
}

async function launch(kind: MachineKind, context: StartContext, how: Launch): Promise<StartedMachine> {
  const { signal } = context;
  const scope = new Scope();
  let vmm: RunningMachine | undefined;
  // Ending the VMM makes whatever is waited for fail; the scope then releases the rest.
  const onAbort = (): void => void vmm?.kill();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const id = newMachineId();
    const { plan, recordProcess } = await prepareDirectory(kind, id, { context, scope, how });
    throwIfAborted(signal);
    const guestSide = loadGuestSide();
    // Awaited as soon as there is a VMM to be ended with it.
    guestSide.catch(() => undefined);
    const running = await how.start(plan);
    vmm = running;
    scope.defer(() => running.kill());
    const { openGuestLink, startExec, keptExec } = await guestSide;
    recordProcess(running);
    throwIfAborted(signal);
    const link = await openGuestLink(await running.connect("control", how.deadlineMs), how.deadlineMs);
    scope.defer(() => link.close());
    const exec = (request: ExecRequest): Exec => startExec(link, request);
    const kept = (execId: string): KeptExec => keptExec(link.agent, execId);
    const machine = { id, vmm, link, exec, kept, scope };
    throwIfAborted(signal);
    await how.setUp(machine, await guestSide);
    throwIfAborted(signal);
    return machine;
  } catch (failure) {
    const explained = vmm === undefined || signal.aborted ? failure : await explainLoss(vmm, failure);
    await scope.close().catch((left: unknown) => {
      context.onNotice(`a machine that did not start left something behind: ${PyroError.from(left).message}`);
    });
    throwIfAborted(signal);
    throw explained;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Makes the machine's directory with its record, and gives the plan for a machine in it. */
async function prepareDirectory(
  kind: MachineKind,
  id: string,
  { context, scope, how }: { context: StartContext; scope: Scope; how: Launch },
): Promise<{ plan: MachinePlan; recordProcess: (vmm: RunningMachine) => void }> {
  const { paths } = context;
  scope.defer(() => removeMachineDirectory(paths, id));
  const { directory, vmmDirectory } = createMachineDirectory(paths, id);
  const record = {
    version: 1 as const,
    id,
    environment: kind.environment.name,
    install_dir: kind.environment.installDir,
    created_at: new Date().toISOString(),
    ...(how.keptVolumePath === undefined ? {} : { kept: keptRecord(paths, how.keptVolumePath, describe(kind)) }),
  };
  writeMachineRecord(directory, record);
  return {
    plan: await machinePlan(kind, vmmDirectory, {
      seedPath: how.seedPath ?? emptySeedPath(paths.cache),
      volumePath: how.volumePath ?? createPlaceholderVolume(directory),
    }),
    recordProcess: (vmm) => writeMachineRecord(directory, { ...record, process: vmm.process }),
  };
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new PyroError("cancelled", "the start of the machine was cancelled");
}
