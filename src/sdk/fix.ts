import { startFailure, startProgram } from "../host/process.ts";

/** Runs a doctor report's `fix_command` in the user's terminal, who may be asked for a password; its exit status. */
export async function runFixCommand(command: string): Promise<number> {
  const child = startProgram("/bin/sh", ["-c", command], { stdio: "inherit" });
  return await new Promise<number>((resolve, reject) => {
    child.once("error", (cause) => reject(startFailure("/bin/sh", cause)));
    // No deadline: a package manager takes as long as its mirror lets it, and the user watches.
    child.once("close", (code) => resolve(code ?? 1));
  });
}
