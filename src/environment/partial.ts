/**
 * Directories under construction: made beside their final place, swept when whoever made them is gone.
 *
 * The name carries the maker (`.partial-<pid namespace>-<pid>-<start time>-<random>`), so that a sweep can tell work in
 * progress, of this or another pyro, from what a crash left.
 */
import { randomBytes } from "node:crypto";
import { lstat, mkdir, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../contract/error.ts";
import { isErrno } from "../host/files.ts";
import { identifyProcess } from "../host/process-identity.ts";

export const PARTIAL_PREFIX = ".partial-";

/** Whether a maker in another PID namespace lives cannot be asked, so such a directory is given this long. */
const FOREIGN_AGE_MS = 24 * 60 * 60 * 1000;

/** Creates an empty directory in `parent`, named after `prefix` and this process. */
export async function createPartial(parent: string, prefix: string, mode = 0o700): Promise<string> {
  const self = identifyProcess(process.pid);
  if (self === undefined) throw new PyroError("internal", "this process is not in /proc");
  const random = randomBytes(6).toString("hex");
  const path = join(parent, `${prefix}${await pidNamespace()}-${self.pid}-${self.startTicks}-${random}`);
  await mkdir(path, { recursive: true, mode });
  return path;
}

/** Directories of this user in `parent` that are named after `prefix` and whose maker is gone. */
export async function abandonedPartials(parent: string, prefix: string): Promise<string[]> {
  const names = await readdir(parent).catch((failure: unknown) => {
    if (isErrno(failure, "ENOENT")) return [];
    throw failure;
  });
  const abandoned: string[] = [];
  for (const name of names) {
    if (name.startsWith(prefix) && (await isAbandoned(parent, name, prefix))) abandoned.push(join(parent, name));
  }
  return abandoned;
}

async function isAbandoned(parent: string, name: string, prefix: string): Promise<boolean> {
  // In a directory that others write to, such as /var/tmp, the name alone proves nothing.
  const found = await lstat(join(parent, name)).catch(() => undefined);
  if (found?.isDirectory() !== true || found.uid !== process.getuid?.()) return false;
  const [, namespace, pid, started] = /^(\d+)-(\d+)-(\d+)-[0-9a-f]+/.exec(name.slice(prefix.length)) ?? [];
  if (namespace === undefined) return true;
  if (namespace !== (await pidNamespace())) return Date.now() - found.mtimeMs > FOREIGN_AGE_MS;
  // A pid alone may be somebody else's by now; with its start time it is the maker or nobody.
  return String(identifyProcess(Number(pid))?.startTicks) !== started;
}

async function pidNamespace(): Promise<string> {
  return /\d+/.exec(await readlink("/proc/self/ns/pid"))?.[0] ?? "0";
}
