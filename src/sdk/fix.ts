import { type HostPaths, hostPaths } from "../host/paths.ts";
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

/** Does what a doctor report's `fix_download` says; the path of what was installed. Throws as `installFirecracker` does. */
export async function runFixDownload(
  options: { env?: NodeJS.ProcessEnv; paths?: HostPaths; signal?: AbortSignal } = {},
): Promise<string> {
  const { env = process.env, paths = hostPaths(env), signal } = options;
  // Only here: who does not download needs none of it.
  const { fixFirecracker } = await import("../doctor/fix-firecracker.ts");
  return await fixFirecracker({ paths, env, ...(signal === undefined ? {} : { signal }) });
}
