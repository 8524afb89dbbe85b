/** Having a server: started when there is none, replaced when it does not fit, asked and stopped without starting any. */
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { PyroError } from "../contract/error.ts";
import type { ServerStatus } from "../contract/host-operations.ts";
import { isErrno } from "../host/files.ts";
import { type HostPaths, machineRuntimeDirectory, serverLogPath, serverSocketPath } from "../host/paths.ts";
import { identifyProcess, isAlive, type ProcessIdentity } from "../host/process-identity.ts";
import { settingsDigest, settingsOf } from "../host/settings.ts";
import { unlessCancelled } from "./cancel.ts";
import { mayReplace, mismatchError } from "./mismatch.ts";
import { isAbsent, NotDone } from "./not-done.ts";
import type { Rpc } from "./rpc.ts";
import type { ServerProgram } from "./server-start.ts";

/** From the first look to a server that answers, other clients' starts and stops included. */
const SERVER_DEADLINE_MS = 60_000;
/** From the answer to `server.stop` to the end of its process. */
const STOP_DEADLINE_MS = 20_000;
/** Past this a call gives up: another client wants another server, or the parts of this installation do not fit together. */
const REPLACEMENTS_MAX = 3;
/** How often a process that is about to end is looked at. */
const PROCESS_LOOK_MS = 5;

export interface StopInput {
  readonly force?: boolean | undefined;
  readonly keep_workspaces?: boolean | undefined;
}

export interface StopOutcome {
  readonly stopped: boolean;
  readonly pid: number | null;
}

export class ServerControl {
  readonly #program: ServerProgram;
  readonly #rpc: Rpc;
  #starting: Promise<void> | undefined;

  constructor(program: ServerProgram, rpc: Rpc) {
    this.#program = program;
    this.#rpc = rpc;
  }

  /** Does `work`, with a server of this build and these settings. What was begun is never done again: only `NotDone` is. */
  async withServer<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const deadline = Date.now() + SERVER_DEADLINE_MS;
    for (let replacements = 0; ;) {
      try {
        return await work();
      } catch (failure) {
        if (!(failure instanceof NotDone)) throw failure;
        if (Date.now() > deadline) {
          throw new PyroError("server_unavailable", `no pyro server answered within ${SERVER_DEADLINE_MS} ms`, {
            cause: failure.cause,
            remedy: `look into ${serverLogPath(this.#program.paths)}`,
          });
        }
        const replacing = failure.reason !== "absent";
        if (replacing && replacements === REPLACEMENTS_MAX) throw mismatchError(failure, this.#settings());
        replacements += replacing ? 1 : 0;
        // Not ended with the caller: another call may wait for the same.
        await unlessCancelled(replacing ? this.#replace(failure) : this.#start(), signal);
      }
    }
  }

  /** Does `work` with the server that is there: what it asks about would be unknown to another one. */
  async withSameServer<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (failure) {
      if (!(failure instanceof NotDone)) throw failure;
      throw new PyroError(
        "server_unavailable",
        "the pyro server that had this machine is gone, and the machine with it",
        {
          cause: failure.cause,
          remedy: "open a new machine",
        },
      );
    }
  }

  /** The server's state; starts none. */
  async status(): Promise<ServerStatus> {
    try {
      return (await this.#rpc.call(["server", "status"], {}, {})) as ServerStatus;
    } catch (failure) {
      if (!isAbsent(failure)) throw failure;
      const { paths } = this.#program;
      const nothing = { version: null, pid: null, started_at: null, machines: 0, ready_machines: 0 };
      return { running: false, ...nothing, socket: serverSocketPath(paths), log: serverLogPath(paths) };
    }
  }

  /**
   * Stops the server and waits until its process is gone. Where there is none nothing is started, unless an earlier one has left
   * machines: what they are, and whether they may be ended, only a server knows.
   */
  async stop(input: StopInput = {}): Promise<StopOutcome> {
    try {
      return await this.#stopThere(input);
    } catch (failure) {
      if (!isAbsent(failure)) throw failure;
    }
    if (!hasMachineDirectories(this.#program.paths)) return { stopped: false, pid: null };
    return await this.withServer(async () => await this.#stopThere(input));
  }

  /** Stops the server that is there. @throws NotDone when there is none */
  async #stopThere(input: StopInput): Promise<StopOutcome> {
    const { pid } = (await this.#rpc.call(["server", "status"], {}, {})) as ServerStatus;
    const identity = pid === null ? undefined : identifyProcess(pid);
    const answer = (await this.#rpc.call(["server", "stop"], input, {})) as StopOutcome;
    if (identity !== undefined) await this.#gone(identity);
    return answer;
  }

  /** Calls that find no server at the same time share one start. */
  async #start(): Promise<void> {
    this.#starting ??= this.#startOnce().finally(() => (this.#starting = undefined));
    await this.#starting;
  }

  async #startOnce(): Promise<void> {
    // Most calls find a server: they need not load what starts one.
    const { startServer, waitForSocket } = await import("./server-start.ts");
    if ((await startServer(this.#program)) === "busy") await waitForSocket(this.#program.paths);
  }

  /**
   * Ends a server that is not one for this client, when nobody waits for it: workspaces go on with the next one.
   * @throws PyroError when it stays
   */
  async #replace(failure: NotDone): Promise<void> {
    if (!mayReplace(failure)) throw mismatchError(failure, this.#settings());
    try {
      await this.#stopThere({ keep_workspaces: true }).catch(async (refusal: unknown) => {
        // A server of an older pyro does not know of keeping; it ends when nothing runs at all.
        if (!PyroError.is(refusal) || refusal.code !== "invalid_argument") throw refusal;
        return await this.#stopThere({});
      });
    } catch (cause) {
      // It ended meanwhile.
      if (isAbsent(cause)) return;
      throw mismatchError(failure, this.#settings(), cause);
    }
  }

  #settings(): string {
    const { env, paths } = this.#program;
    return settingsDigest(settingsOf(env, paths));
  }

  async #gone(identity: ProcessIdentity): Promise<void> {
    for (let waitedMs = 0; isAlive(identity); waitedMs += PROCESS_LOOK_MS) {
      if (waitedMs > STOP_DEADLINE_MS) {
        throw new PyroError(
          "deadline_exceeded",
          `the server (pid ${identity.pid}) did not end within ${STOP_DEADLINE_MS} ms`,
          {
            remedy: `look into ${serverLogPath(this.#program.paths)}`,
          },
        );
      }
      await sleep(PROCESS_LOOK_MS);
    }
  }
}

/** Whether there are machines, or what is left of some. */
function hasMachineDirectories(paths: HostPaths): boolean {
  try {
    return readdirSync(machineRuntimeDirectory(paths, "")).length > 0;
  } catch (failure) {
    if (isErrno(failure, "ENOENT")) return false;
    throw failure;
  }
}
