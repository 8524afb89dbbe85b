/** The end of a process that is no child of this one: Node is told of its children only, so pyro-launch watches for it. */
import { startFailure, startProgram } from "../host/process.ts";
import type { ProcessIdentity } from "../host/process-identity.ts";

/**
 * Settles when exactly this process has ended: at once when it has already.
 * @throws PyroError dependency_missing, permission_denied when the launcher cannot be started
 */
export async function processEnd(launcher: string, { pid, startTicks }: ProcessIdentity): Promise<void> {
  // It ends with its standard input too, which this process holds.
  const watcher = startProgram(launcher, ["--await", String(pid), String(startTicks)], {
    stdio: ["pipe", "ignore", "ignore"],
    env: {},
  });
  await new Promise<void>((resolve, reject) => {
    watcher.once("exit", () => resolve());
    watcher.once("error", (cause) => reject(startFailure(launcher, cause)));
  });
}
