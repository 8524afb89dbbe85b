/** Directories in which nobody else may put or see anything, wherever they lie. */
import { lstatSync, type Stats } from "node:fs";
import { PyroError } from "../contract/error.ts";
import { isErrno } from "./files.ts";
import { makePrivateDirectory } from "./paths.ts";

/**
 * Makes `directory`, or checks the one that is there; `variable` can name another place.
 * @throws PyroError permission_denied when it is not ours alone, or cannot be made
 */
export function claimPrivateDirectory(directory: string, variable: string): void {
  try {
    makePrivateDirectory(directory);
  } catch (cause) {
    throw new PyroError("permission_denied", `${directory} cannot be made`, { cause, remedy: otherPlace(variable) });
  }
  checkPrivateDirectory(directory, variable);
}

/**
 * Makes sure that `directory` is ours alone: in /tmp somebody else may have made it first, to see what is put there or
 * to answer in our name. One that is not there is fine.
 * @throws PyroError permission_denied
 */
export function checkPrivateDirectory(directory: string, variable: string): void {
  const found = statIfPresent(directory);
  if (found === undefined) return;
  const mine = found.isDirectory() && found.uid === process.getuid?.();
  if (mine && (found.mode & 0o077) === 0) return;
  throw new PyroError("permission_denied", `${directory} is not a private directory of yours`, {
    evidence: { owner_uid: found.uid, mode: (found.mode & 0o7777).toString(8), directory: found.isDirectory() },
    remedy: mine ? `chmod 700 ${directory}` : otherPlace(variable),
  });
}

const otherPlace = (variable: string): string => `set ${variable} to a directory of your own`;

function statIfPresent(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (failure) {
    if (isErrno(failure, "ENOENT")) return undefined;
    throw new PyroError("permission_denied", `${path} cannot be looked at`, { cause: failure });
  }
}
