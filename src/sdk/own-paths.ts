/** Paths of the caller's: the server has another working directory and umask, so it is given absolute ones, and the caller's own. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Methods } from "./operation-types.ts";

type Pull = Methods["workspace"]["pull"];

/** The same method, which takes the path in one of its fields as it is meant from the caller's working directory. */
export function withAbsolutePath<Input extends object, Rest extends unknown[], Result>(
  method: (input: Input, ...rest: Rest) => Promise<Result>,
  field: keyof Input,
): (input: Input, ...rest: Rest) => Promise<Result> {
  return async (input, ...rest) => {
    const path = input[field];
    // An empty one is for the server to refuse.
    const absolute = typeof path === "string" && path !== "" ? { [field]: resolve(path) } : {};
    return await method({ ...input, ...absolute }, ...rest);
  };
}

/** The same method, whose repository is by default the one that the caller's working directory is in. */
export function withRepository(pull: Pull): Pull {
  return async (input, options) => await pull({ ...input, repository: resolve(input.repository ?? ".") }, options);
}

/** What most have. */
const USUAL_UMASK = 0o022;

/** The same method, which is told this process's umask. */
export function withUmask<Input extends object, Rest extends unknown[], Result>(
  method: (input: Input, ...rest: Rest) => Promise<Result>,
): (input: Input, ...rest: Rest) => Promise<Result> {
  return async (input, ...rest) => await method({ ...input, umask: await ownUmask() }, ...rest);
}

/** Read, and not asked for by setting another one, which other threads would make files with (proc_pid_status(5)). */
async function ownUmask(): Promise<number> {
  const status = await readFile("/proc/self/status", "utf8").catch(() => "");
  const digits = /^Umask:\s*([0-7]+)$/m.exec(status)?.[1];
  return digits === undefined ? USUAL_UMASK : Number.parseInt(digits, 8);
}
