/** The workspace that is meant where none is named: the one that was made from the directory one is in. */
import { realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { PyroError } from "../contract/error.ts";
import type { Pyro } from "../sdk/pyro.ts";
import { WORKSPACE_VARIABLE } from "./commands.ts";
import { printable } from "./printable.ts";

/**
 * The id of the one workspace that was made from the current directory itself: none above it is meant, for that would make
 * what is done in a home directory be done everywhere.
 * @throws PyroError invalid_argument when there is none, or more than one
 */
export async function workspaceOfDirectory(
  pyro: Pyro,
  { deleted, signal }: { deleted: boolean; signal: AbortSignal },
): Promise<string> {
  const here = currentDirectory();
  const { workspaces } = await pyro.workspace.list({ deleted }, { signal });
  const found = workspaces.filter(({ directory }) => here !== undefined && directory === here);
  const [only] = found;
  if (only === undefined) {
    throw new PyroError("invalid_argument", "missing required argument 'workspace'", {
      remedy: `name it, set ${WORKSPACE_VARIABLE}, or go to the directory that it was made from: pyro workspace list`,
    });
  }
  if (found.length === 1) return only.workspace_id;
  const names = found.map(({ workspace_id: id, name }) => (name === null ? id : `${printable(name)} (${id})`));
  throw new PyroError("invalid_argument", `several workspaces were made from this directory: ${names.join(", ")}`, {
    remedy: `name one of them, or set ${WORKSPACE_VARIABLE}`,
  });
}

/** What a workspace that is created now is made from: the directory of its seed, otherwise the current one. */
export function directoryOfNew(seedPath: unknown): string | undefined {
  if (typeof seedPath === "string") {
    const path = resolve(seedPath);
    // One that is not there is refused by whoever copies it.
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return realpathSync(path);
  }
  return currentDirectory();
}

/** Absolute, without symbolic links; undefined when it was removed. */
function currentDirectory(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}
