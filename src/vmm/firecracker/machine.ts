import { copyFile, open, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { PyroError } from "../../contract/error.ts";
import { syncFile } from "../../host/files.ts";
import type { ProcessIdentity } from "../../host/process-identity.ts";
import { Scope } from "../../host/scope.ts";
import {
  type Channel,
  type MachinePlan,
  type RunningMachine,
  type TemplateFiles,
  type VmmExit,
  VOLUME_BYTES_MAX,
} from "../driver.ts";
import { lastWords, vmmEnded } from "../vmm-exit.ts";
import { growVolumeFile } from "../volume.ts";
import { takeBack } from "../shared-files.ts";
import { logOf, startVmm, type VmmLimits, type VmmProcess } from "../vmm-process.ts";
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
  SAVED_STATE,
  saveCall,
  VSOCK_SOCKET,
} from "./config.ts";
import { readLog } from "./console.ts";
import { copySparse } from "./memory-file.ts";
import { CHANNEL_PORTS, dialGuest, holdPorts } from "./vsock.ts";

/** Firecracker opens its API 10 ms after its start; the rest is for a loaded host. */
const OPEN_DEADLINE_MS = 20_000;
/** All calls but the saving of memory are answered within milliseconds. */
const CALL_DEADLINE_MS = 20_000;
/** Every page of the guest's memory is written; a loaded disk may hold that up. */
const SAVE_DEADLINE_MS = 300_000;
const HOLD_DEADLINE_MS = 10_000;

const GIB = 1024 ** 3;

export interface FirecrackerProgram {
  /** Absolute path of firecracker. */
  readonly binary: string;
  /** Absolute path of pyro-launch. */
  readonly launcher: string;
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
  readonly #plan: MachinePlan;
  #api: FirecrackerApi | undefined;

  private constructor(vmm: VmmProcess, exited: Promise<VmmExit>, plan: MachinePlan) {
    this.#vmm = vmm;
    this.process = vmm.identity;
    this.exited = exited;
    this.#plan = plan;
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
    await Promise.all(plan.drives.map(({ slot, path }) => symlink(path, join(directory, driveLink(slot)))));
    const vmm = await startVmm({
      launcher: program.launcher,
      directory,
      program: program.binary,
      args: firecrackerArguments(directory),
      readOnlyPaths: [program.binary, ...files.readOnlyPaths, ...drivePaths(plan, true)],
      writablePaths: [...files.writablePaths, ...drivePaths(plan, false)],
      devices: ["/dev/kvm"],
      limits: limitsFor(plan),
      descriptors: [],
    });
    const exited = vmm.ended.then(({ code, signal }): VmmExit => ({ code, signal, ...readLog(logOf(directory)) }));
    return new FirecrackerMachine(vmm, exited, plan);
  }

  async connect(channel: Channel, deadlineMs: number): Promise<Duplex> {
    return await this.#orExit(dialGuest(this.#vsockPath, CHANNEL_PORTS[channel], deadlineMs));
  }

  consoleTail(): string {
    return readLog(logOf(this.#plan.directory)).consoleTail;
  }

  async growVolume(sizeBytes: number): Promise<void> {
    await growVolumeFile(this.#plan, sizeBytes);
    await this.#call(lookAgainCall("volume"));
  }

  async save(files: TemplateFiles): Promise<void> {
    const dense = files.memoryPath + DENSE_SUFFIX;
    await using scope = new Scope();
    scope.defer(() => rm(dense, { force: true }));
    await this.#orEnd(async () => {
      const held = await this.#orExit(holdPorts(this.#vsockPath, HOLD_DEADLINE_MS));
      scope.defer(() => void held.destroy());
      await this.#call(pauseCall());
      await this.#call(saveCall({ memoryPath: dense, statePath: SAVED_STATE }), SAVE_DEADLINE_MS);
    });
    await this.kill();
    await takeBack(dense);
    await copySparse(dense, files.memoryPath);
    await copyFile(join(this.#plan.directory, SAVED_STATE), files.statePath);
    await syncFile(files.statePath);
  }

  async kill(): Promise<void> {
    this.#api?.close();
    await this.#vmm.end();
    await this.exited;
  }

  get #vsockPath(): string {
    return join(this.#plan.directory, VSOCK_SOCKET);
  }

  async #call(call: ApiCall, deadlineMs = CALL_DEADLINE_MS): Promise<void> {
    this.#api ??= await this.#orExit(openApi(this.#plan.directory, API_SOCKET, OPEN_DEADLINE_MS));
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
    const stillRan = await this.#vmm.end();
    const exit = await this.exited;
    this.#api?.close();
    // A process that was ending when our signal came keeps the status of its own end; one that was being started may not
    // have come to its monitor yet.
    const error = PyroError.from(failure);
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
