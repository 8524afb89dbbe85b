/** One VMM process: started by pyro-launch, in its machine's directory, with a log of its own. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { startFailure, startProgram } from "../host/process.ts";
import { identifyProcess, type ProcessIdentity } from "../host/process-identity.ts";
import { Scope } from "../host/scope.ts";
import { vmmEnded } from "./vmm-exit.ts";

/** Bytes of a VMM's own messages that are shown in an error. */
const LOG_TAIL_BYTES = 4096;

/** The log of a VMM in its machine's directory: what it writes to its standard streams. */
export const VMM_LOG = "vmm.log";

/** Number under which a VMM inherits the first of its descriptors: the first after its stdio. */
export const FIRST_DESCRIPTOR = 3;

export interface VmmProcess {
  readonly identity: ProcessIdentity;
  /** Settles when the process was reaped. Never rejects. */
  readonly ended: Promise<{ code: number | null; signal: string | null; vmmLog: string }>;
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
  /** The VMM's working directory, which it may write to. */
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
  readonly limits: VmmLimits;
  /** Open descriptors that the VMM inherits as FIRST_DESCRIPTOR and the following. */
  readonly descriptors: readonly number[];
}

/**
 * Starts a VMM.
 * @throws PyroError dependency_missing, permission_denied when the launcher cannot be started, vmm_failed when the VMM
 * ended before it could be named
 */
export async function startVmm(command: VmmCommand): Promise<VmmProcess> {
  await using scope = new Scope();
  // A file, never a pipe of ours: the VMM outlives the server. The launcher's own complaints go there too.
  const logPath = join(command.directory, VMM_LOG);
  const log = await open(logPath, "a", 0o600);
  const child = startProgram(command.launcher, launcherArguments(command), {
    stdio: ["ignore", log.fd, log.fd, ...command.descriptors],
    env: {},
  });
  const exit = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
    child.once("error", (cause) => reject(startFailure(command.launcher, cause)));
  });
  // Awaited below or by the machine; an error event may come before either.
  exit.catch(() => undefined);
  scope.defer(() => void child.kill("SIGKILL"));
  await log.close();
  const ended = exit.then(async (how) => ({ ...how, vmmLog: await readLogTail(logPath) }));
  const identity = child.pid === undefined ? undefined : identifyProcess(child.pid);
  // `ended` throws when the launcher could not be started at all.
  if (identity === undefined) throw vmmEnded({ ...(await ended), consoleTail: "" });
  scope.keep();
  return { identity, ended };
}

function launcherArguments({ program, directory, args, descriptors }: VmmCommand): string[] {
  return [
    ...["--new-session", "--no-new-privileges", "--rlimit", "core=0", "--chdir", directory],
    ...descriptors.flatMap((_, index) => ["--keep-fd", String(FIRST_DESCRIPTOR + index)]),
    ...["--", program, ...args],
  ];
}

/** The last lines only: a guest may make its VMM complain without end. */
async function readLogTail(path: string): Promise<string> {
  try {
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      const tail = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES));
      const { bytesRead } = await file.read(tail, 0, tail.length, size - tail.length);
      return tail.toString("utf8", 0, bytesRead).trim();
    } finally {
      await file.close();
    }
  } catch {
    // The machine's directory may be gone already; an exit without words is still an exit.
    return "";
  }
}
