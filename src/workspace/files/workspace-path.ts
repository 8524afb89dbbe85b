/** Paths in a workspace, as a caller writes them and as the guest gets them. */
import { posix } from "node:path";
import { PyroError } from "../../contract/error.ts";

/** Where every workspace is in its guest. */
const ROOT = "/workspace";

/**
 * The bytes of a path from the workspace, plain; empty: the workspace itself. It may be written from there, or absolute.
 * @throws PyroError invalid_argument when it leads out of the workspace
 */
export function workspacePath(text: string): Buffer {
  const absolute = text.startsWith("/") ? text : `${ROOT}/${text}`;
  const parts = absolute.split("/").filter((part) => part !== "" && part !== ".");
  if (text === "" || text.includes("\0") || parts.includes("..") || `/${parts[0] ?? ""}` !== ROOT) {
    throw new PyroError("invalid_argument", `${JSON.stringify(text)} is no path in ${ROOT}`, {
      remedy: `write it from ${ROOT}, for example src/note.txt, without ..`,
    });
  }
  return Buffer.from(parts.slice(1).join("/"));
}

/** The absolute path of one that was checked, for people. */
export const shownPath = (path: Uint8Array): string => posix.join(ROOT, Buffer.from(path).toString());

/** The last name of a path that was checked. */
export const nameOf = (path: Uint8Array): Buffer => Buffer.from(posix.basename(shownPath(path)));
