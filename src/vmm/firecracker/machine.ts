import { constants, symlinkSync } from "node:fs";
import { open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { PyroError } from "../../contract/error.ts";
import type { ProcessIdentity } from "../../host/process-identity.ts";
import { Scope } from "../../host/scope.ts";
import {
  type Channel,
  type MachinePlace,
  type MachinePlan,
  type RunningMachine,
  type TemplateFiles,
  type VmmExit,
  VOLUME_BYTES_MAX,
} from "../driver.ts";
import { explainRefusal, lastWords, vmmEnded } from "../vmm-exit.ts";
import { growVolumeFile, volumePathOf } from "../volume.ts";
import { takeBack } from "../shared-files.ts";
import { adoptVmm, logOf, startVmm, type VmmLimits, type VmmProcess } from "../vmm-process.ts";
import { type ApiCall, type FirecrackerApi, openApi } from "./api.ts";
import {
  API_SOCKET,
  bootCalls,
  DENSE_SUFFIX,
  driveLink,
  firecrackerArguments,
  loadCall,
  lookAgainCall,
  pauseCall,
  resumeCall,
  SAVED_STATE,
  saveCall,
  VSOCK_SOCKET,
} from "./config.ts";
import { readLog } from "./console.ts";
import { copySparse } from "./memory-file.ts";
import { CHANNEL_PORTS, dialGuest, holdPorts } from "./vsock.ts";

/** How long is waited for Firecracker, in milliseconds. */
export interface Deadlines {
  /** It opens its API 10 ms after its start; the rest is for a loaded host. */
  readonly openMs: number;
  /** All calls but the saving of memory are answered within milliseconds. */
  readonly callMs: number;
  /** Every page of the guest's memory is written; a loaded disk may hold that up. */
  readonly saveMs: number;
}
const DEADLINES: Deadlines = { openMs: 20_000, callMs: 20_000, saveMs: 300_000 };
const HOLD_DEADLINE_MS = 10_000;

const GIB = 1024 ** 3;
/** A device state has some 20 KB. */
const STATE_BYTES_MAX = 16 * 1024 ** 2;

export interface FirecrackerProgram {
  /** Absolute path of firecracker. */
  readonly binary: string;
  /** Absolute path of pyro-launch. */
  readonly launcher: string;
  /** Default: for a loaded host. For tests. */
  readonly deadlines?: Deadlines;
}

/** What of the host's files a machine needs besides its plan's. */
interface Files {
  readonly readOnlyPaths: readonly string[];
  readonly writablePaths: readonly string[];
}

/** One Firecracker process that we started. */
export class FirecrackerMachine implements RunningMachine {
  readonly process: ProcessIdentity;
  readonly exited: Promise<VmmExit>;
  readonly #vmm: VmmProcess;
  readonly #plan: MachinePlace;
  readonly #deadlines: Deadlines;
  #api: FirecrackerApi | undefined;

  private constructor(
    vmm: VmmProcess,
    exited: Promise<VmmExit>,
    { plan, deadlines }: { plan: MachinePlace; deadlines: Deadlines },
  ) {
    this.#vmm = vmm;
    this.process = vmm.identity;
    this.exited = exited;
    this.#plan = plan;
    this.#deadlines = deadlines;
  }

  /**
   * Boots a machine; on failure nothing of it runs.
   * @param memoryPath where its memory will be saved, if it will
   * @throws PyroError dependency_missing, permission_denied, vmm_failed
   */
  static async boot(
    program: FirecrackerProgram,
    plan: MachinePlan,
    memoryPath: string | undefined,
  ): Promise<FirecrackerMachine> {
    const dense = memoryPath === undefined ? [] : [memoryPath + DENSE_SUFFIX];
    // What a jail shows must be there.
    for (const path of dense) await (await open(path, "wx", 0o600)).close();
    const machine = await FirecrackerMachine.#start(program, plan, {
      readOnlyPaths: [plan.kernelPath, plan.initramfsPath],
      writablePaths: dense,
    });
    return await machine.#orEnd(async () => {
      for (const call of bootCalls(plan)) await machine.#call(call);
    });
  }

  /**
   * Runs a saved machine; on failure, as on abort, nothing of it runs.
   * @throws PyroError dependency_missing, permission_denied, vmm_failed
   */
  static async restore(
    program: FirecrackerProgram,
    plan: MachinePlan,
    { template, signal }: { template: TemplateFiles; signal: AbortSignal | undefined },
  ): Promise<FirecrackerMachine> {
    const machine = await FirecrackerMachine.#start(program, plan, {
      readOnlyPaths: [template.memoryPath, template.statePath],
      writablePaths: [],
    });
    const onAbort = (): void => void machine.kill();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await machine.#orEnd(async () => await machine.#call(loadCall(template)));
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  static async #start(program: FirecrackerProgram, plan: MachinePlan, files: Files): Promise<FirecrackerMachine> {
    const { directory } = plan;
    for (const { slot, path } of plan.drives) symlinkSync(path, join(directory, driveLink(slot)));
    const vmm = await startVmm({
      launcher: program.launcher,
      directory,
      program: program.binary,
      args: firecrackerArguments(directory),
      readOnlyPaths: [program.binary, ...files.readOnlyPaths, ...drivePaths(plan, true)],
      writablePaths: [...files.writablePaths, ...drivePaths(plan, false)],
      devices: ["/dev/kvm"],
      lockedPath: volumePathOf(plan),
      limits: limitsFor(plan),
      descriptors: [],
    });
    return new FirecrackerMachine(vmm, exitOf(vmm, plan), { plan, deadlines: program.deadlines ?? DEADLINES });
  }

  /** Takes over one that another server has started. */
  static adopt(launcher: string, place: MachinePlace, process: ProcessIdentity): FirecrackerMachine {
    const vmm = adoptVmm(launcher, place.directory, process);
    return new FirecrackerMachine(vmm, exitOf(vmm, place), { plan: place, deadlines: DEADLINES });
  }

  async connect(channel: Channel, deadlineMs: number): Promise<Duplex> {
    return await this.#orExit(dialGuest(this.#vsockPath, CHANNEL_PORTS[channel], deadlineMs));
  }

  consoleTail(): string {
    return readLog(logOf(this.#plan.directory)).consoleTail;
  }

  async growVolume(sizeBytes: number): Promise<void> {
    await growVolumeFile(this.#plan, sizeBytes);
    try {
      await this.#call(lookAgainCall("volume"));
    } catch (failure) {
      throw await explainRefusal(this.exited, failure);
    }
  }

  async pause(): Promise<void> {
    await this.#call(pauseCall());
  }

  async resume(): Promise<void> {
    await this.#call(resumeCall());
  }

  async save(files: TemplateFiles): Promise<void> {
    const dense = files.memoryPath + DENSE_SUFFIX;
    await using scope = new Scope();
    scope.defer(() => rm(dense, { force: true }));
    await this.#orEnd(async () => {
      const held = await this.#orExit(holdPorts(this.#vsockPath, HOLD_DEADLINE_MS));
      scope.defer(() => void held.destroy());
      await this.#call(pauseCall());
      await this.#call(saveCall({ memoryPath: dense, statePath: SAVED_STATE }), this.#deadlines.saveMs);
    });
    await this.kill();
    await takeBack(dense);
    await copySparse(dense, files.memoryPath);
    await takeState(join(this.#plan.directory, SAVED_STATE), files.statePath);
  }

  async kill(): Promise<void> {
    this.#api?.close();
    await this.#vmm.end();
    await this.exited;
  }

  get #vsockPath(): string {
    return join(this.#plan.directory, VSOCK_SOCKET);
  }

  async #call(call: ApiCall, deadlineMs = this.#deadlines.callMs): Promise<void> {
    this.#api ??= await this.#orExit(openApi(this.#plan.directory, API_SOCKET, this.#deadlines.openMs));
    await this.#orExit(this.#api.call(call, deadlineMs));
  }

  /** The value of `promise`, unless Firecracker ends first: then what it said. */
  async #orExit<T>(promise: Promise<T>): Promise<T> {
    // The loser of the race may reject later, with nobody listening.
    promise.catch(() => undefined);
    return await Promise.race([promise, this.exited.then((exit) => Promise.reject(vmmEnded(exit)))]);
  }

  /** This machine once `steps` are done. When they fail it is ended, and the better reason is given. */
  async #orEnd(steps: () => Promise<void>): Promise<this> {
    try {
      await steps();
      return this;
    } catch (failure) {
      throw await this.#endAfter(failure);
    }
  }

  /** Ends Firecracker after `failure`, and gives the better reason: that it had ended by itself, or what it said last. */
  async #endAfter(failure: unknown): Promise<PyroError> {
    const error = await explainRefusal(this.exited, failure);
    const stillRan = await this.#vmm.end();
    const exit = await this.exited;
    this.#api?.close();
    // A process that was ending when our signal came keeps the status of its own end; one that was being started may not
    // have come to its monitor yet.
    // One that could not load a machine says why, and then ends by itself.
    const refused = "fault_message" in error.evidence;
    if (!refused && (!stillRan || (exit.signal !== "SIGKILL" && exit.signal !== "SIGTERM"))) return vmmEnded(exit);
    const { code, message, remedy, evidence, cause } = error;
    return new PyroError(code, message, {
      ...(remedy === undefined ? {} : { remedy }),
      cause,
      evidence: { ...evidence, ...lastWords(exit) },
    });
  }
}

const exitOf = async ({ ended }: VmmProcess, { directory }: MachinePlace): Promise<VmmExit> => {
  const { code, signal } = await ended;
  return { code, signal, ...readLog(logOf(directory)) };
};

/** Copies device state out of a directory that the VMM could write to: a file, and none that a link of its name leads to. */
async function takeState(saved: string, statePath: string): Promise<void> {
  await using scope = new Scope();
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const noState = (cause?: unknown): PyroError =>
    new PyroError("vmm_failed", "what Firecracker saved is no device state", { cause });
  const from = await open(saved, flags).catch((cause: unknown) => Promise.reject(noState(cause)));
  scope.defer(() => from.close());
  const found = await from.stat();
  if (!found.isFile() || found.size > STATE_BYTES_MAX) throw noState();
  await writeFile(statePath, await from.readFile(), { flag: "wx", mode: 0o600, flush: true });
}

function drivePaths(plan: MachinePlan, readOnly: boolean): string[] {
  return plan.drives.filter((drive) => drive.readOnly === readOnly).map(({ path }) => path);
}

function limitsFor({ shape }: MachinePlan): VmmLimits {
  return {
    addressSpaceBytes: shape.memoryMib * 1024 ** 2 + GIB,
    fileBytes: VOLUME_BYTES_MAX,
    openFiles: 2048,
    processes: 64,
  };
}
