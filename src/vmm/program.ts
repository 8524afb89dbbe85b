/** Programs on the host's search path, and their versions. */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";

/** Whether dotted version `found` is `minimum` or newer. */
export function isAtLeast(found: string, minimum: string): boolean {
  const [have, need] = [found, minimum].map((text) => text.split(".").map(Number)) as [number[], number[]];
  const different = need.findIndex((part, index) => (have[index] ?? 0) !== part);
  return different === -1 || (have[different] ?? 0) > (need[different] ?? 0);
}

/** The absolute path of a program in the directories of `path`, or undefined when it is in none. */
export async function findProgram(name: string, path: string = process.env["PATH"] ?? ""): Promise<string | undefined> {
  // A relative entry of PATH would make the answer depend on where the caller stands.
  const directories = path.split(delimiter).filter((directory) => isAbsolute(directory));
  for (const directory of directories) {
    const found = await executable(join(directory, name));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** `path` when it is a program that this process may run, else undefined. */
export async function executable(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile() ? path : undefined;
  } catch {
    // Whatever the reason, it cannot be run from there.
    return undefined;
  }
}
