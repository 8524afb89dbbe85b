/** Files of pyro's that a VMM of another user is to read or to write. Only root's machines have users of their own. */
import { chmodSync, chownSync, statSync } from "node:fs";
import { chown, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { PyroError } from "../contract/error.ts";

const OTHERS_MAY_READ = 0o004;
const OTHERS_MAY_ENTER = 0o001;

/** Gives files or directories to a machine's user. */
export function giveTo(user: number, paths: readonly string[]): void {
  for (const path of paths) chownSync(path, user, user);
}

/** Takes a file back that a machine has written. */
export async function takeBack(path: string): Promise<void> {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  if ((await stat(path)).uid !== uid) await chown(path, uid, gid);
}

/**
 * Makes files readable for machines' users. One below a directory that nobody else may enter is not shown to anybody by
 * that; any other file's permissions are its owner's to change.
 * @throws PyroError permission_denied for a file that root alone may read, in a place where others would see it
 */
export function letMachinesRead(paths: readonly string[]): void {
  for (const path of paths) {
    const node = statSync(path);
    if (!node.isFile() || (node.mode & OTHERS_MAY_READ) !== 0) continue;
    if (!isHidden(path)) {
      throw new PyroError(
        "permission_denied",
        `${path} can be read by its owner only, and a VMM runs as nobody's user`,
        {
          remedy: `run \`chmod o+r '${path}'\`, or name a copy that everybody may read`,
        },
      );
    }
    chmodSync(path, node.mode | OTHERS_MAY_READ);
  }
}

/** Whether a directory above `path` keeps everybody else out. */
function isHidden(path: string): boolean {
  for (let at = dirname(path); ; at = dirname(at)) {
    if ((statSync(at).mode & OTHERS_MAY_ENTER) === 0) return true;
    if (at === dirname(at)) return false;
  }
}
