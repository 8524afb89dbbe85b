/**
 * Where a system is unpacked while it is built.
 *
 * Not in the cache: that is private to the user, and the root of the build's user namespace is somebody else to the
 * host. Its files belong to the user's subordinate ids, so removing them takes the namespace again.
 */
import { chmod, readdir } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "../../host/process.ts";
import { abandonedPartials, createPartial } from "../partial.ts";
import { toolEnvironment } from "./apt-run.ts";

const REMOVE_DEADLINE_MS = 120_000;

/** `TMPDIR`, else /var/tmp, which is a disk where /tmp may be memory. */
export function buildParentDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const chosen = env["TMPDIR"];
  return chosen === undefined || chosen === "" ? "/var/tmp" : chosen;
}

/** Creates an empty one. Everybody may pass through it, nobody but its owner can list it. */
export async function createBuildDirectory(): Promise<string> {
  const path = await createPartial(buildParentDirectory(), namePrefix(), 0o711);
  await chmod(path, 0o711); // whatever the umask is
  return path;
}

/** Removes one, also when its build was killed before it could clean up. */
export async function removeBuildDirectory(path: string): Promise<void> {
  const options = { deadlineMs: REMOVE_DEADLINE_MS, env: toolEnvironment(), cwd: "/" };
  const remove = ["-rf", "--one-file-system", path];
  await runProgram("rm", remove, options);
  const trees = await readdir(path).catch(() => []);
  if (trees.length === 0) return;
  // What is in a tree belongs to the namespace's ids, so they empty it; the emptied tree is an entry of our directory.
  const inside = trees.map((name) => join(path, name));
  await runProgram(
    "mmdebstrap",
    ["--unshare-helper", "find", ...inside, "-xdev", "-mindepth", "1", "-delete"],
    options,
  );
  await runProgram("rm", remove, options);
}

/** Removes those of this user whose builder is gone; gives their paths. */
export async function removeAbandonedBuilds(): Promise<string[]> {
  const paths = await abandonedPartials(buildParentDirectory(), namePrefix());
  for (const path of paths) await removeBuildDirectory(path);
  return paths;
}

const namePrefix = (): string => `pyro-build-${process.getuid?.() ?? 0}-`;
