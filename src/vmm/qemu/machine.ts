import { open } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { PyroError } from "../../contract/error.ts";
import { type ProcessIdentity, signalProcess } from "../../host/process-identity.ts";
import { Scope } from "../../host/scope.ts";
import { Tail } from "../../host/tail.ts";
import type { Channel, DriveSlot, MachinePlan, RunningMachine, TemplateFiles, VmmExit } from "../driver.ts";
import { SocketSlot } from "../socket-slot.ts";
import { lastWords, vmmEnded } from "../vmm-exit.ts";
import { FIRST_DESCRIPTOR, startVmm, type VmmLimits } from "../vmm-process.ts";
import { SOCKET_NAMES, type SocketName } from "./arguments.ts";
import { loadState, QMP_DEADLINE_MS, saveState } from "./migration.ts";
import { QmpClient } from "./qmp.ts";

/** Bytes of the guest's console that are kept for an error. */
const CONSOLE_TAIL_BYTES = 64 * 1024;
/** QEMU connects at its start, which takes 0.05 s idle; the rest is for a loaded host. */
const CONNECT_DEADLINE_MS = 20_000;

const GIB = 1024 ** 3;

type Slots = Readonly<Record<SocketName, SocketSlot>>;

/** One QEMU process that we started. */
export class QemuMachine implements RunningMachine {
  readonly process: ProcessIdentity;
  readonly exited: Promise<VmmExit>;
  /** Settles when the process has ended and its sockets are closed. */
  readonly #gone: Promise<unknown>;
  readonly #directory: string;
  readonly #slots: Slots;
  readonly #console: Tail;
  #qmp: QmpClient | undefined;

  private constructor(
    identity: ProcessIdentity,
    exited: Promise<VmmExit>,
    parts: { directory: string; slots: Slots; console: Tail },
  ) {
    this.process = identity;
    this.exited = exited;
    this.#directory = parts.directory;
    this.#slots = parts.slots;
    this.#console = parts.console;
    // Not before: who waits on a socket is told of the VMM's end, not of the socket's.
    this.#gone = exited.then(() => closeAll(parts.slots));
  }

  /**
   * Listens on the machine's sockets, then starts QEMU in the machine's directory.
   * @param stateDescriptor inherited by QEMU as FIRST_DESCRIPTOR
   * @throws PyroError dependency_missing, permission_denied, vmm_failed when it cannot be started
   */
  static async start(
    options: { binary: string; launcher: string },
    plan: MachinePlan,
    args: readonly string[],
    stateDescriptor?: number,
  ): Promise<QemuMachine> {
    await using scope = new Scope();
    const { binary, launcher } = options;
    const { directory } = plan;
    const console = new Tail(CONSOLE_TAIL_BYTES);
    const slots = await listenAll(directory, scope, (socket) => {
      socket.on("data", (chunk: Buffer) => console.push(chunk)).resume();
    });
    const { identity, ended } = await startVmm({
      launcher,
      directory,
      program: binary,
      args,
      readOnlyPaths: [plan.kernelPath, plan.initramfsPath, ...drivePaths(plan, true)],
      writablePaths: drivePaths(plan, false),
      devices: [],
      limits: limitsFor(plan),
      descriptors: stateDescriptor === undefined ? [] : [stateDescriptor],
    });
    scope.keep();
    const exited = ended.then((how): VmmExit => ({ ...how, consoleTail: console.text() }));
    return new QemuMachine(identity, exited, { directory, slots, console });
  }

  async connect(channel: Channel, deadlineMs: number): Promise<Duplex> {
    return await this.#orExit(this.#slots[channel].take(deadlineMs));
  }

  consoleTail(): string {
    return this.#console.text();
  }

  /**
   * Loads the device state from the inherited descriptor and lets the vCPUs run. On failure QEMU is gone.
   * @throws PyroError vmm_failed
   */
  async load(): Promise<void> {
    try {
      await loadState(await this.#control(), FIRST_DESCRIPTOR);
    } catch (failure) {
      throw await this.#endAfter(failure);
    }
  }

  async growVolume(sizeBytes: number): Promise<void> {
    const size = { device: "volume" satisfies DriveSlot, size: sizeBytes };
    await this.#orExit((await this.#control()).execute("block_resize", size, QMP_DEADLINE_MS));
  }

  async save(files: TemplateFiles): Promise<void> {
    try {
      await this.#orExit(saveState(await this.#control(), this.#directory, files.statePath));
    } catch (failure) {
      throw await this.#endAfter(failure);
    }
    await this.kill();
    await flushFile(files.memoryPath);
  }

  async kill(): Promise<void> {
    signalProcess(this.process, "SIGKILL");
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
    const stillRan = signalProcess(this.process, "SIGKILL");
    const exit = await this.exited;
    await this.#gone;
    // A process that was ending when our signal came keeps the status of its own end.
    if (!stillRan || exit.signal !== "SIGKILL") return vmmEnded(exit);
    const { code, message, remedy, evidence, cause } = PyroError.from(failure);
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
    addressSpaceBytes: shape.memoryMib * 1024 ** 2 + 8 * GIB,
    fileBytes: 64 * GIB,
    openFiles: 256,
    processes: 128,
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
