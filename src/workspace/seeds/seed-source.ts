/** Finding what a workspace is to begin with. */
import { realpath, stat } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { isErrno } from "../../host/files.ts";
import type { FoundSource } from "./seeds.ts";

/**
 * The directory at `path`.
 * @throws PyroError not_found, permission_denied, invalid_argument for what is none
 */
export async function findSource(path: string): Promise<FoundSource> {
  if (!isAbsolute(path) || path.includes("\0")) {
    throw new PyroError("invalid_argument", `${JSON.stringify(path)} is no absolute path`);
  }
  const directory = await real(path);
  if (!(await stat(directory)).isDirectory()) {
    throw new PyroError("invalid_argument", `${path} is no directory`, { remedy: "name a directory" });
  }
  return { directory, only: undefined, key: `directory ${directory}` };
}

async function real(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    const code = isErrno(cause, "EACCES") ? "permission_denied" : "not_found";
    throw new PyroError(code, `there is no ${path} that can be read`, { cause });
  }
}
