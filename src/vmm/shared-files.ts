/** Files of pyro's that a VMM of another user is to read or to write. Only root's machines have users of their own. */
import { chmod, chown, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { PyroError } from "../contract/error.ts";

const OTHERS_MAY_READ = 0o004;
const OTHERS_MAY_ENTER = 0o001;

/** Gives files or directories to a machine's user. */
export async function giveTo(user: number, paths: readonly string[]): Promise<void> {
  await Promise.all(paths.map(async (path) => await chown(path, user, user)));
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
export async function letMachinesRead(paths: readonly string[]): Promise<void> {
  await Promise.all(
    paths.map(async (path) => {
      const node = await stat(path);
      if (!node.isFile() || (node.mode & OTHERS_MAY_READ) !== 0) return;
      if (!(await isHidden(path))) {
        throw new PyroError(
          "permission_denied",
          `${path} can be read by its owner only, and a VMM runs as nobody's user`,
          {
            remedy: `run \`chmod o+r '${path}'\`, or name a copy that everybody may read`,
          },
        );
      }
      await chmod(path, node.mode | OTHERS_MAY_READ);
    }),
  );
}

/** Whether a directory above `path` keeps everybody else out. */
async function isHidden(path: string): Promise<boolean> {
  for (let at = dirname(path); ; at = dirname(at)) {
    if (((await stat(at)).mode & OTHERS_MAY_ENTER) === 0) return true;
    if (at === dirname(at)) return false;
  }
}
