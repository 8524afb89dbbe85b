import { open } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { PyroError } from "../../contract/error.ts";
import { type ProcessIdentity } from "../../host/process-identity.ts";
import { Scope } from "../../host/scope.ts";
import { Tail } from "../../host/tail.ts";
import {
  type Accelerator,
  type Channel,
  type DriveSlot,
  type MachinePlace,
  type MachinePlan,
  type RunningMachine,
  type TemplateFiles,
  type VmmExit,
  VOLUME_BYTES_MAX,
} from "../driver.ts";
import { SocketSlot } from "../socket-slot.ts";
import { explainRefusal, lastWords, vmmEnded } from "../vmm-exit.ts";
import { growVolumeFile, volumePathOf } from "../volume.ts";
import { takeBack } from "../shared-files.ts";
import { adoptVmm, startVmm, type VmmLimits, type VmmProcess } from "../vmm-process.ts";
import { SOCKET_NAMES, type SocketName } from "./arguments.ts";
import { qemuFiles } from "./files.ts";
import { loadState, QMP_DEADLINE_MS, saveState } from "./migration.ts";
import { QmpClient } from "./qmp.ts";

/** Bytes of the guest's console that are kept for an error. */
const CONSOLE_TAIL_BYTES = 64 * 1024;
/** QEMU connects at its start, which takes 0.05 s idle; the rest is for a loaded host. */
const CONNECT_DEADLINE_MS = 20_000;

const MIB = 1024 ** 2;
/** QEMU's address space besides guest memory: 1 GiB for TCG's translated code, libraries, and 64 threads' arenas. */
const OVERHEAD_BYTES = 6 * 1024 * MIB;
/** A vCPU's own: its stack, and its part of the allocator's arenas. */
const VCPU_BYTES = 128 * MIB;
/** It has some 40: sockets, images, eventfds. */
const OPEN_FILES = 256;
/** Its block layer has up to 64 workers (util/thread-pool.c); the rest are its own few. */
const THREADS = 80;

/** What QEMU, or GLib in it, says of memory that the host did not give. */
const OUT_OF_MEMORY = /Cannot allocate memory|failed to allocate \d+ bytes/;

export interface QemuStart {
  readonly binary: string;
  readonly launcher: string;
  readonly accelerator: Accelerator;
  /** What it reads and writes besides its own files and the plan's. */
  readonly readOnlyPaths: readonly string[];
  readonly writablePaths: readonly string[];
  /** Inherited as FIRST_DESCRIPTOR and the following. */
  readonly descriptors: readonly number[];
}

type Slots = Readonly<Record<SocketName, SocketSlot>>;

/** One QEMU process that we started. */
export class QemuMachine implements RunningMachine {
  readonly process: ProcessIdentity;
  readonly exited: Promise<VmmExit>;
  /** Settles when the process has ended and its sockets are closed. */
  readonly #gone: Promise<unknown>;
  readonly #vmm: VmmProcess;
  readonly #plan: MachinePlace;
  readonly #slots: Slots;
  readonly #console: Tail;
  #qmp: QmpClient | undefined;

  private constructor(
    vmm: VmmProcess,
    exited: Promise<VmmExit>,
    parts: { plan: MachinePlace; slots: Slots; console: Tail },
  ) {
    this.#vmm = vmm;
    this.process = vmm.identity;
    this.exited = exited;
    this.#plan = parts.plan;
    this.#slots = parts.slots;
    this.#console = parts.console;
    // Not before: who waits on a socket is told of the VMM's end, not of the socket's.
    this.#gone = exited.then(() => closeAll(parts.slots));
  }

  /**
   * Listens on the machine's sockets, then starts QEMU in the machine's directory.
   * @throws PyroError dependency_missing, permission_denied, vmm_failed when it cannot be started
   */
  static async start(options: QemuStart, plan: MachinePlan, args: readonly string[]): Promise<QemuMachine> {
    await using scope = new Scope();
    const { binary, launcher, accelerator } = options;
    const { directory } = plan;
    const console = new Tail(CONSOLE_TAIL_BYTES);
    const slots = await listenAll(directory, scope, (socket) => {
      socket.on("data", (chunk: Buffer) => console.push(chunk)).resume();
    });
    const vmm = await startVmm({
      launcher,
      directory,
      program: binary,
      args,
      readOnlyPaths: [
        ...qemuFiles(binary),
        ...[plan.kernelPath, plan.initramfsPath, ...drivePaths(plan, true)],
        ...options.readOnlyPaths,
      ],
      writablePaths: [...drivePaths(plan, false), ...options.writablePaths],
      devices: accelerator === "kvm" ? ["/dev/kvm"] : [],
      lockedPath: volumePathOf(plan),
      limits: limitsFor(plan),
      descriptors: options.descriptors,
    });
    scope.keep();
    // Its log is its own: the guest's console has a socket.
    const exited = vmm.ended.then((how): VmmExit => ({
      ...how,
      consoleTail: console.text(),
      outOfMemory: OUT_OF_MEMORY.test(how.vmmLog),
    }));
    return new QemuMachine(vmm, exited, { plan, slots, console });
  }

  /**
   * Takes over one that another server has started: it connects to whoever listens, within a second.
   * @throws PyroError invalid_state when a socket's path is too long
   */
  static async adopt(launcher: string, place: MachinePlace, process: ProcessIdentity): Promise<QemuMachine> {
    await using scope = new Scope();
    const { directory } = place;
    const console = new Tail(CONSOLE_TAIL_BYTES);
    const slots = await listenAll(directory, scope, (socket) => {
      socket.on("data", (chunk: Buffer) => console.push(chunk)).resume();
    });
    const vmm = adoptVmm(launcher, directory, process);
    scope.keep();
    const exited = vmm.ended.then((how): VmmExit => ({ ...how, consoleTail: console.text() }));
    return new QemuMachine(vmm, exited, { plan: place, slots, console });
  }

  async connect(channel: Channel, deadlineMs: number): Promise<Duplex> {
    return await this.#orExit(this.#slots[channel].take(deadlineMs));
  }

  consoleTail(): string {
    return this.#console.text();
  }

  /**
   * Loads the device state from an inherited descriptor and lets the vCPUs run. On failure QEMU is gone.
   * @throws PyroError vmm_failed
   */
  async load(descriptor: number): Promise<void> {
    try {
      await loadState(await this.#control(), descriptor);
    } catch (failure) {
      throw await this.#endAfter(failure);
    }
  }

  async growVolume(sizeBytes: number): Promise<void> {
    await growVolumeFile(this.#plan, sizeBytes);
    const size = { device: "volume" satisfies DriveSlot, size: sizeBytes };
    try {
      await this.#orExit((await this.#control()).execute("block_resize", size, QMP_DEADLINE_MS));
    } catch (failure) {
      throw await explainRefusal(this.exited, failure);
    }
  }

  async pause(): Promise<void> {
    await this.#orExit((await this.#control()).execute("stop", {}, QMP_DEADLINE_MS));
  }

  async resume(): Promise<void> {
    await this.#orExit((await this.#control()).execute("cont", {}, QMP_DEADLINE_MS));
  }

  async save(files: TemplateFiles): Promise<void> {
    try {
      await this.#orExit(saveState(await this.#control(), this.#plan.directory, files.statePath));
    } catch (failure) {
      throw await this.#endAfter(failure);
    }
    await this.kill();
    await takeBack(files.memoryPath);
    await flushFile(files.memoryPath);
  }

  async kill(): Promise<void> {
    await this.#vmm.end();
    await this.#gone;
  }

  async #control(): Promise<QmpClient> {
    if (this.#qmp === undefined) {
      const client = new QmpClient(await this.#orExit(this.#slots.qmp.take(CONNECT_DEADLINE_MS)));
      await client.negotiate(QMP_DEADLINE_MS);
      this.#qmp = client;
    }
    return this.#qmp;
  }

  /** The value of `promise`, unless QEMU ends first: then what it said. */
  async #orExit<T>(promise: Promise<T>): Promise<T> {
    // The loser of the race may reject later, with nobody listening.
    promise.catch(() => undefined);
    return await Promise.race([promise, this.exited.then((exit) => Promise.reject(vmmEnded(exit)))]);
  }

  /** Ends QEMU after `failure`, and gives the better reason: that it had ended by itself, or what it said last. */
  async #endAfter(failure: unknown): Promise<PyroError> {
    const error = await explainRefusal(this.exited, failure);
    const stillRan = await this.#vmm.end();
    const exit = await this.exited;
    await this.#gone;
    // A process that was ending when our signal came keeps the status of its own end; one that was being started may not
    // have come to its monitor yet.
    if (!stillRan || (exit.signal !== "SIGKILL" && exit.signal !== "SIGTERM")) return vmmEnded(exit);
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
  const memoryBytes = shape.memoryMib * MIB;
  return {
    addressSpaceBytes: memoryBytes + OVERHEAD_BYTES + shape.vcpuCount * VCPU_BYTES,
    fileBytes: Math.max(VOLUME_BYTES_MAX, memoryBytes),
    openFiles: OPEN_FILES,
    processes: THREADS + shape.vcpuCount,
  };
}

async function listenAll(directory: string, scope: Scope, onConsole: (socket: Socket) => void): Promise<Slots> {
  const listen = async (name: SocketName, onConnection?: (socket: Socket) => void): Promise<SocketSlot> => {
    const slot = await SocketSlot.listen(join(directory, SOCKET_NAMES[name]), onConnection);
    scope.defer(() => slot.close());
    return slot;
  };
  return {
    qmp: await listen("qmp"),
    console: await listen("console", onConsole),
    control: await listen("control"),
    bulk: await listen("bulk"),
  };
}

/** A socket that cannot be removed goes with its directory. */
async function closeAll(slots: Slots): Promise<void> {
  await Promise.allSettled(Object.values(slots).map((slot) => slot.close()));
}

async function flushFile(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
