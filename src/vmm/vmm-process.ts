/**
 * One VMM process: confined by pyro-launch, which stays beside it as its monitor, bounds its log, and ends with it.
 */
import type { ChildProcess } from "node:child_process";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { withDeadline } from "../host/deadline.ts";
import { startFailure, startProgram } from "../host/process.ts";
import { processEnd } from "./process-end.ts";
import { identifyProcess, type ProcessIdentity, signalProcess } from "../host/process-identity.ts";
import { Scope } from "../host/scope.ts";
import { PyroError } from "../contract/error.ts";
import { confinementHere, jailArguments, machineUser } from "./confinement.ts";
import { giveTo, letMachinesRead } from "./shared-files.ts";
import { vmmEnded } from "./vmm-exit.ts";

/** Bytes of a VMM's own messages that are shown in an error. */
const LOG_TAIL_BYTES = 4096;

/** The log of the VMM that runs in `directory`: what it writes to its standard streams. */
export const logOf = (directory: string): string => `${directory}.log`;

/** Number under which a VMM inherits the first of its descriptors: the first after its stdio. */
export const FIRST_DESCRIPTOR = 3;

/** Most bytes of a VMM's log; it always has the last half of them. */
const LOG_BYTES = 256 * 1024;
/** Between the wish and the VMM's end lie milliseconds; a monitor that hangs takes it along when it is killed itself. */
const END_DEADLINE_MS = 5000;

/** One that was killed while it wrote holds its volume until that is done: its successor waits, also on a slow disk. */
const LOCK_WAIT_MS = 10_000;

export interface VmmProcess {
  /** Of the monitor: it is there as long as the VMM is, and the VMM no longer than it. */
  readonly identity: ProcessIdentity;
  /** Settles with the VMM's own end when that was reaped. Never rejects. */
  readonly ended: Promise<{ code: number | null; signal: string | null; vmmLog: string }>;
  /** Ends the VMM at once and waits until it is gone; false when it was gone already. Safe to call twice. */
  end(): Promise<boolean>;
}

/** What a VMM may use up. Guest memory counts. */
export interface VmmLimits {
  /** Address space. */
  readonly addressSpaceBytes: number;
  /** Largest file it may write. */
  readonly fileBytes: number;
  readonly openFiles: number;
  /** Threads included. */
  readonly processes: number;
}

export interface VmmCommand {
  /** Absolute path of pyro-launch. */
  readonly launcher: string;
  /**
   * The VMM's working directory, which it may write to: nothing that the server believes lies there. It is named after
   * the machine by the directory above; its log lies beside it, as `${directory}.log`.
   */
  readonly directory: string;
  /** Absolute path of the VMM. */
  readonly program: string;
  readonly args: readonly string[];
  /** Files and directories that the VMM sees at their own paths, read-only. */
  readonly readOnlyPaths: readonly string[];
  /** The same for writing, for example the volume; each must be there. */
  readonly writablePaths: readonly string[];
  /** Device nodes, for example /dev/kvm. */
  readonly devices: readonly string[];
  /** Nobody else may write to this file while the VMM lives: the lock is the kernel's, and outlives the server. */
  readonly lockedPath: string;
  readonly limits: VmmLimits;
  /** Open descriptors that the VMM inherits as FIRST_DESCRIPTOR and the following. */
  readonly descriptors: readonly number[];
}

/**
 * Starts a VMM, as confined as this host allows (`confinementHere`).
 * @throws PyroError dependency_missing, permission_denied when the launcher cannot be started, vmm_failed when the VMM
 * ended before it could be named
 */
export async function startVmm(command: VmmCommand): Promise<VmmProcess> {
  await using scope = new Scope();
  const args = await launcherArguments(command);
  // Complaints that come before the monitor has opened the log by itself.
  const logPath = logOf(command.directory);
  const log = openSync(logPath, "a", 0o600);
  let child: ChildProcess;
  try {
    child = startProgram(command.launcher, args, {
      // Files, never pipes of ours: the VMM outlives the server.
      stdio: ["ignore", log, log, ...command.descriptors],
      env: {},
    });
  } finally {
    closeSync(log);
  }
  const exit = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
    child.once("error", (cause) => reject(startFailure(command.launcher, cause)));
  });
  // Awaited below or by the machine; an error event may come before either.
  exit.catch(() => undefined);
  scope.defer(() => void child.kill("SIGKILL"));
  const ended = exit.then((how) => ({ ...how, vmmLog: readLogTail(logPath) }));
  const identity = child.pid === undefined ? undefined : identifyProcess(child.pid);
  // `ended` throws when the launcher could not be started at all.
  if (identity === undefined) throw vmmEnded({ ...(await ended), consoleTail: "" });
  scope.keep();
  return { identity, ended, end: async () => await end(identity, ended) };
}

/**
 * The VMM whose monitor another server has started in `directory`, and which lives on without it. How it ends is not for this
 * process to see, only that it does.
 */
export function adoptVmm(launcher: string, directory: string, identity: ProcessIdentity): VmmProcess {
  // One that cannot be watched counts as ended, and is ended by whoever is told so.
  const gone = processEnd(launcher, identity).catch(() => undefined);
  const ended = gone.then(() => ({ code: null, signal: null, vmmLog: readLogTail(logOf(directory)) }));
  return { identity, ended, end: async () => await end(identity, ended) };
}

/**
 * Ends a VMM that another server has left, and waits until it is gone. Its monitor ends last.
 * @throws PyroError dependency_missing, permission_denied when the launcher, which watches it, cannot be started
 */
export async function endVmm(launcher: string, monitor: ProcessIdentity): Promise<void> {
  await end(monitor, processEnd(launcher, monitor));
}

async function end(identity: ProcessIdentity, ended: Promise<unknown>): Promise<boolean> {
  const ran = signalProcess(identity, "SIGTERM");
  const late = (): PyroError => new PyroError("deadline_exceeded", "the VMM's monitor does not end it");
  await withDeadline(ended, END_DEADLINE_MS, late).catch(() => signalProcess(identity, "SIGKILL"));
  await ended;
  return ran;
}

async function launcherArguments(command: VmmCommand): Promise<string[]> {
  const { launcher, directory, program, args, limits, readOnlyPaths, writablePaths, lockedPath, descriptors } = command;
  const { level } = await confinementHere(launcher);
  const isFull = level === "full";
  const user = isFull ? machineUser(directory) : undefined;
  if (user !== undefined) {
    letMachinesRead(readOnlyPaths);
    giveTo(user, [directory, ...writablePaths]);
  }
  return [
    ...[
      "--umask",
      "077",
      "--lock",
      lockedPath,
      "--lock-wait-ms",
      String(LOCK_WAIT_MS),
      "--new-session",
      "--log",
      logOf(directory),
      "--log-bytes",
      String(LOG_BYTES),
    ],
    ...descriptors.flatMap((_, index) => ["--keep-fd", String(FIRST_DESCRIPTOR + index)]),
    ...(isFull ? jailArguments(command) : []),
    ...limitArguments(limits, isFull),
    ...["--chdir", directory, "--drop-capabilities", "--no-new-privileges", "--", program, ...args],
  ];
}

/** Outside a namespace of its own, a limit of processes would count all that the user runs. */
function limitArguments(limits: VmmLimits, hasOwnUser: boolean): string[] {
  const { addressSpaceBytes, fileBytes, openFiles, processes } = limits;
  const values = {
    core: 0,
    // Neither locks memory.
    memlock: 0,
    as: addressSpaceBytes,
    fsize: fileBytes,
    nofile: openFiles,
    ...(hasOwnUser ? { nproc: processes } : {}),
  };
  return Object.entries(values).flatMap(([name, value]) => ["--rlimit", `${name}=${value}`]);
}

/** The last lines only: a guest may make its VMM complain without end. */
function readLogTail(path: string): string {
  try {
    const file = openSync(path, "r");
    try {
      const { size } = fstatSync(file);
      const tail = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES));
      const bytesRead = readSync(file, tail, 0, tail.length, size - tail.length);
      return tail.toString("utf8", 0, bytesRead).trim();
    } finally {
      closeSync(file);
    }
  } catch {
    // The machine's directory may be gone already; an exit without words is still an exit.
    return "";
  }
}
