/** One QEMU process: started by pyro-launch, in its machine's directory, with a log of its own. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { startFailure, startProgram } from "../../host/process.ts";
import { identifyProcess, type ProcessIdentity } from "../../host/process-identity.ts";
import { Scope } from "../../host/scope.ts";
import { vmmEnded } from "../vmm-exit.ts";

/** Bytes of QEMU's own messages that are shown in an error. */
const LOG_TAIL_BYTES = 4096;

/** Number under which QEMU inherits a template's device state: the first after its stdio. */
export const STATE_DESCRIPTOR = 3;

export interface QemuProcess {
  readonly identity: ProcessIdentity;
  /** Settles when the process was reaped. Never rejects. */
  readonly ended: Promise<{ code: number | null; signal: string | null; vmmLog: string }>;
}

export interface QemuCommand {
  /** Absolute path of qemu-system-x86_64. */
  readonly binary: string;
  /** Absolute path of pyro-launch. */
  readonly launcher: string;
  readonly directory: string;
  readonly args: readonly string[];
  /** Open file that QEMU inherits as STATE_DESCRIPTOR. */
  readonly stateDescriptor: number | undefined;
}

/**
 * Starts QEMU.
 * @throws PyroError dependency_missing, permission_denied when the launcher cannot be started, vmm_failed when QEMU ended
 * before it could be named
 */
export async function startQemu(command: QemuCommand): Promise<QemuProcess> {
  await using scope = new Scope();
  const { directory, stateDescriptor } = command;
  // A file, never a pipe of ours: the VMM outlives the server. The launcher's own complaints go there too.
  const logPath = join(directory, "vmm.log");
  const log = await open(logPath, "a", 0o600);
  const inherited = stateDescriptor === undefined ? [] : [stateDescriptor];
  const child = startProgram(command.launcher, launcherArguments(command), {
    stdio: ["ignore", log.fd, log.fd, ...inherited],
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

function launcherArguments({ binary, directory, args, stateDescriptor }: QemuCommand): string[] {
  return [
    ...["--new-session", "--no-new-privileges", "--rlimit", "core=0", "--chdir", directory],
    ...(stateDescriptor === undefined ? [] : ["--keep-fd", String(STATE_DESCRIPTOR)]),
    ...["--", binary, ...args],
  ];
}

/** The last lines only: a guest may make QEMU complain without end. */
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
