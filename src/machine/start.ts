/** Starting one machine: from its template, or cold to make that template. */
import { PyroError } from "../contract/error.ts";
import type { HostPaths } from "../host/paths.ts";
import { Scope } from "../host/scope.ts";
import { type GuestLink, openGuestLink } from "../guest/link.ts";
import type { RunningMachine, TemplateFiles } from "../vmm/driver.ts";
import { explainLoss } from "../vmm/vmm-exit.ts";
import { emptySeedPath, type MachineKind, machinePlan, templateParts } from "./bootable.ts";
import { configureGuest, prepareTemplate } from "./guest-setup.ts";
import {
  createMachineDirectory,
  newMachineId,
  removeMachineDirectory,
  writeMachineRecord,
} from "./machine-directory.ts";
import { findTemplate, makeTemplate, removeTemplate, templateKey } from "./template.ts";

/** A cold boot takes 3-5 s idle under TCG; ten times that on a loaded host is still a boot. */
const BOOT_DEADLINE_MS = 120_000;
/** A restore takes 0.3-0.5 s idle under TCG. */
const RESTORE_DEADLINE_MS = 30_000;

/** A machine that runs, with its link to the agent. Whoever holds it ends it through `scope`. */
export interface StartedMachine {
  readonly id: string;
  readonly vmm: RunningMachine;
  readonly link: GuestLink;
  /** Ends the VMM and removes the machine's directory. */
  readonly scope: Scope;
}

export interface StartContext {
  readonly paths: HostPaths;
  /** Told when a template has to be made again, and why. */
  readonly onNotice: (notice: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Starts a configured machine from the template, which must be there.
 * @throws PyroError artifact_corrupt when the VMM does not load the template
 */
export async function startFromTemplate(
  kind: MachineKind,
  template: TemplateFiles,
  context: StartContext,
  id = newMachineId(),
): Promise<StartedMachine> {
  const started = await launch(kind, context, {
    id,
    deadlineMs: RESTORE_DEADLINE_MS,
    start: (plan) => kind.driver.restore(plan, template),
  });
  try {
    await configureGuest(started.link, started.id);
    return started;
  } catch (failure) {
    await started.scope.close();
    throw failure;
  }
}

/**
 * The kind's template, made if there is none. `onBuild` is called before it is made.
 */
export async function ensureTemplate(
  kind: MachineKind,
  context: StartContext,
  onBuild: () => void,
): Promise<TemplateFiles> {
  const parts = templateParts(kind);
  const key = templateKey(parts);
  const found = await findTemplate(context.paths, key);
  if ("files" in found) return found.files;
  if (found.missing !== "not made yet")
    context.onNotice(`the template of ${kind.environment.name} is made again: ${found.missing}`);
  onBuild();
  return await makeTemplate(context.paths, parts, (files) => coldBootAndSave(kind, files, context));
}

/** Removes the kind's template, so that the next start makes it again. */
export async function dropTemplate(kind: MachineKind, paths: HostPaths): Promise<void> {
  await removeTemplate(paths, templateKey(templateParts(kind)));
}

async function coldBootAndSave(kind: MachineKind, files: TemplateFiles, context: StartContext): Promise<void> {
  const machine = await launch(kind, context, {
    id: newMachineId(),
    deadlineMs: BOOT_DEADLINE_MS,
    start: (plan) => kind.driver.boot(plan, { memoryPath: files.memoryPath }),
  });
  try {
    await prepareTemplate(machine.link);
    // A connection does not live across a save.
    machine.link.close();
    await machine.vmm.save(files);
  } finally {
    await machine.scope.close();
  }
}

async function launch(
  kind: MachineKind,
  { paths, signal }: StartContext,
  how: { id: string; deadlineMs: number; start: (plan: ReturnType<typeof machinePlan>) => Promise<RunningMachine> },
): Promise<StartedMachine> {
  const { id } = how;
  const scope = new Scope();
  let vmm: RunningMachine | undefined;
  // Ending the VMM makes whatever is waited for fail; the scope then releases the rest.
  const onAbort = (): void => void vmm?.kill();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    throwIfAborted(signal);
    const { directory, volumePath } = await createMachineDirectory(paths, id);
    scope.defer(() => removeMachineDirectory(directory));
    const record = {
      version: 1 as const,
      id,
      environment: kind.environment.name,
      install_dir: kind.environment.installDir,
      created_at: new Date().toISOString(),
    };
    await writeMachineRecord(directory, record);
    throwIfAborted(signal);
    const running = await how.start(machinePlan(kind, directory, { seedPath: emptySeedPath(paths.cache), volumePath }));
    vmm = running;
    scope.defer(() => running.kill());
    await writeMachineRecord(directory, { ...record, process: running.process });
    throwIfAborted(signal);
    const link = await openGuestLink(await running.connect("control", how.deadlineMs), how.deadlineMs);
    scope.defer(() => link.close());
    throwIfAborted(signal);
    return { id, vmm: running, link, scope };
  } catch (failure) {
    const explained = vmm === undefined ? failure : await explainLoss(vmm, failure);
    await scope.close();
    throwIfAborted(signal);
    throw explained;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new PyroError("cancelled", "the start of the machine was cancelled");
}
