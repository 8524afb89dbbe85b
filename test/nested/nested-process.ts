/**
 * The nested machine's QEMU: a child of the tests that the kernel ends with them, however they end. It is no VMM of a
 * user's: it holds VMMs, and the tests look into it, so it has no jail and no monitor.
 */
import { join } from "node:path";
import { PyroError } from "../../src/contract/error.ts";
import { startProgram } from "../../src/host/process.ts";
import { identifyProcess, signalProcess } from "../../src/host/process-identity.ts";
import { Scope } from "../../src/host/scope.ts";
import { Tail } from "../../src/host/tail.ts";
import type { Channel, RunningMachine, VmmExit } from "../../src/vmm/driver.ts";
import { findProgram } from "../../src/vmm/program.ts";
import { SOCKET_NAMES } from "../../src/vmm/qemu/arguments.ts";
import { SocketSlot } from "../../src/vmm/socket-slot.ts";
import { vmmEnded } from "../../src/vmm/vmm-exit.ts";

const TAIL_BYTES = 64 * 1024;

/** What the tests need of it; it is never saved, and its volume has the size it needs. */
export type NestedProcess = Pick<RunningMachine, "process" | "connect" | "kill" | "exited" | "consoleTail">;

/** Starts QEMU in `directory`, where it connects to us. @throws PyroError vmm_failed, dependency_missing */
export async function startNestedProcess(
  directory: string,
  qemu: string,
  args: readonly string[],
): Promise<NestedProcess> {
  const setpriv = await findProgram("setpriv");
  if (setpriv === undefined) throw new PyroError("dependency_missing", "setpriv (util-linux) is not in PATH");
  await using scope = new Scope();
  const [console, log] = [new Tail(TAIL_BYTES), new Tail(TAIL_BYTES)];
  const listen = async (name: keyof typeof SOCKET_NAMES): Promise<SocketSlot> => {
    const slot = await SocketSlot.listen(
      join(directory, SOCKET_NAMES[name]),
      name === "console"
        ? (socket) => void socket.on("data", (piece: Buffer) => console.push(piece)).resume()
        : undefined,
    );
    scope.defer(() => slot.close());
    return slot;
  };
  const slots = {
    qmp: await listen("qmp"),
    console: await listen("console"),
    control: await listen("control"),
    bulk: await listen("bulk"),
  };
  const child = startProgram(setpriv, ["--pdeathsig", "KILL", "--", qemu, ...args], {
    cwd: directory,
    stdio: ["ignore", "ignore", "pipe"],
  });
  child.stderr?.on("data", (piece: Buffer) => log.push(piece));
  const exited = new Promise<VmmExit>((resolve) => {
    const tell = (code: number | null, signal: string | null): void =>
      resolve({ code, signal, vmmLog: log.text(), consoleTail: console.text() });
    child.once("close", tell);
    child.once("error", (failure) => {
      log.push(Buffer.from(failure.message));
      tell(null, null);
    });
  });
  const identity = child.pid === undefined ? undefined : identifyProcess(child.pid);
  if (identity === undefined) throw vmmEnded(await exited);
  scope.keep();
  const gone = exited.then(async () => await Promise.allSettled(Object.values(slots).map((slot) => slot.close())));
  return {
    process: identity,
    exited,
    consoleTail: () => console.text(),
    connect: async (channel: Channel, deadlineMs) =>
      await Promise.race([slots[channel].take(deadlineMs), exited.then((exit) => Promise.reject(vmmEnded(exit)))]),
    kill: async () => {
      signalProcess(identity, "SIGKILL");
      await gone;
    },
  };
}
