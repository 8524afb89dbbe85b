import { createWriteStream } from "node:fs";
import { open, readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { PyroError } from "../../contract/error.ts";
import { withDeadline } from "../../host/deadline.ts";
import { startProgram, startFailure } from "../../host/process.ts";
import { identifyProcess, type ProcessIdentity, signalProcess } from "../../host/process-identity.ts";
import { Scope } from "../../host/scope.ts";
import { Tail } from "../../host/tail.ts";
import type { Channel, MachinePlan, RunningMachine, TemplateFiles, VmmExit } from "../driver.ts";
import { SocketSlot } from "../socket-slot.ts";
import { vmmEnded } from "../vmm-exit.ts";
import { SOCKET_NAMES, type SocketName } from "./arguments.ts";
import { QmpClient } from "./qmp.ts";

/** Bytes of the guest's console that are kept for an error. */
const CONSOLE_TAIL_BYTES = 64 * 1024;
/** Bytes of QEMU's own messages that are shown in an error. */
const VMM_LOG_TAIL_BYTES = 4096;
/** QEMU connects at its start, which takes 0.05 s idle; the rest is for a loaded host. */
const CONNECT_DEADLINE_MS = 20_000;
const QMP_DEADLINE_MS = 10_000;
/** Writing the device state takes 13 ms idle; memory is flushed by the host's kernel afterwards. */
const SAVE_DEADLINE_MS = 60_000;

/** Number under which QEMU inherits a template's device state: the first after its stdio. */
const STATE_DESCRIPTOR = 3;

type Slots = Readonly<Record<SocketName, SocketSlot>>;

/** One QEMU process that we started. */
export class QemuMachine implements RunningMachine {
  readonly process: ProcessIdentity;
  readonly exited: Promise<VmmExit>;
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
  }

  /**
   * Listens on the machine's sockets, then starts QEMU in the machine's directory.
   * @param stateDescriptor inherited by QEMU as STATE_DESCRIPTOR
   * @throws PyroError dependency_missing, permission_denied when it cannot be started
   */
  static async start(
    options: { binary: string; launcher: string },
    plan: MachinePlan,
    args: readonly string[],
    stateDescriptor?: number,
  ): Promise<QemuMachine> {
    await using scope = new Scope();
    const { directory } = plan;
    const slots = await listenAll(directory, scope);
    const console = new Tail(CONSOLE_TAIL_BYTES);
    followConsole(slots.console, console);
    const logPath = join(directory, "vmm.log");
    const launcherArguments = [
      ...["--new-session", "--no-new-privileges", "--rlimit", "core=0"],
      // A file, never a pipe of ours: the VMM outlives the server.
      ...["--stdout", logPath, "--stderr", logPath, "--chdir", directory],
      ...(stateDescriptor === undefined ? [] : ["--keep-fd", String(STATE_DESCRIPTOR)]),
      ...["--", options.binary, ...args],
    ];
    const child = startProgram(options.launcher, launcherArguments, {
      stdio: ["ignore", "ignore", "ignore", ...(stateDescriptor === undefined ? [] : [stateDescriptor])],
      env: {},
    });
    const ended = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
      child.once("exit", (code, signal) => resolve({ code, signal }));
      child.once("error", (cause) => reject(startFailure(options.launcher, cause)));
    });
    const identity = child.pid === undefined ? undefined : identifyProcess(child.pid);
    if (identity === undefined) {
      const { code } = await ended;
      throw new PyroError("vmm_failed", `QEMU ended at once with status ${code}`, {
        evidence: { vmm_log: await readLog(logPath) },
      });
    }
    const exited = ended.then(async (how): Promise<VmmExit> => {
      await closeAll(slots);
      return { ...how, vmmLog: await readLog(logPath), consoleTail: console.text() };
    });
    scope.keep();
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
      const qmp = await this.#control();
      await prepareMigration(qmp);
      const loaded = migrationEnd(qmp);
      await qmp.execute("migrate-incoming", { uri: `fd:${STATE_DESCRIPTOR}` }, QMP_DEADLINE_MS);
      await this.#orExit(loaded);
      // A machine that was saved stopped is loaded stopped.
      await qmp.execute("cont", {}, QMP_DEADLINE_MS);
    } catch (failure) {
      await this.kill();
      throw failure;
    }
  }

  async save(files: TemplateFiles): Promise<void> {
    const qmp = await this.#control();
    await prepareMigration(qmp);
    await qmp.execute("stop", {}, QMP_DEADLINE_MS);
    const receiver = await SocketSlot.listen(join(this.#directory, "state.sock"));
    try {
      const saved = migrationEnd(qmp);
      await qmp.execute("migrate", { uri: "unix:state.sock" }, QMP_DEADLINE_MS);
      const stream = await this.#orExit(receiver.take(QMP_DEADLINE_MS));
      const written = pipeline(stream, createWriteStream(files.statePath, { flags: "wx", mode: 0o600, flush: true }));
      await withDeadline(this.#orExit(Promise.all([written, saved])), SAVE_DEADLINE_MS, () => {
        return new PyroError("vmm_failed", `saving the machine took more than ${SAVE_DEADLINE_MS} ms`);
      });
    } finally {
      await receiver.close();
    }
    await this.kill();
    await flushFile(files.memoryPath);
  }

  async kill(): Promise<void> {
    signalProcess(this.process, "SIGKILL");
    await this.exited;
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
}

/** Guest memory is in its file already, so only device state is moved; and QEMU tells when it is (qapi/migration.json). */
async function prepareMigration(qmp: QmpClient): Promise<void> {
  const capabilities = ["x-ignore-shared", "events"].map((capability) => ({ capability, state: true }));
  await qmp.execute("migrate-set-capabilities", { capabilities }, QMP_DEADLINE_MS);
}

/** Settles when the migration that is about to be started has ended. */
async function migrationEnd(qmp: QmpClient): Promise<void> {
  let stop: (() => void) | undefined;
  const end = new Promise<void>((resolve, reject) => {
    stop = qmp.onEvent(({ event, data }) => {
      if (event !== "MIGRATION") return;
      if (data["status"] === "completed") resolve();
      if (data["status"] === "failed") reject(new PyroError("vmm_failed", "QEMU could not move the machine's state"));
    });
  });
  end.catch(() => undefined);
  try {
    await withDeadline(
      end,
      SAVE_DEADLINE_MS,
      () => new PyroError("vmm_failed", "QEMU did not finish moving the machine's state"),
    );
  } finally {
    stop?.();
  }
}

async function listenAll(directory: string, scope: Scope): Promise<Slots> {
  const listen = async (name: SocketName): Promise<SocketSlot> => {
    const slot = await SocketSlot.listen(join(directory, SOCKET_NAMES[name]));
    scope.defer(() => slot.close());
    return slot;
  };
  return {
    qmp: await listen("qmp"),
    console: await listen("console"),
    control: await listen("control"),
    bulk: await listen("bulk"),
  };
}

async function closeAll(slots: Slots): Promise<void> {
  await Promise.all(Object.values(slots).map((slot) => slot.close()));
}

function followConsole(slot: SocketSlot, tail: Tail): void {
  const follow = (socket: Socket): void => {
    socket.on("data", (chunk: Buffer) => tail.push(chunk));
    socket.resume();
  };
  slot.take(CONNECT_DEADLINE_MS).then(follow, () => undefined);
}

async function readLog(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.slice(-VMM_LOG_TAIL_BYTES).trim();
}

async function flushFile(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
