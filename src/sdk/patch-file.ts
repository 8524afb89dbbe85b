/** A patch in a file of the caller's, which is sent as it is read. */
import { type FileHandle, open } from "node:fs/promises";
import { PyroError } from "../contract/error.ts";
import type { Methods } from "./operation-types.ts";

type Apply = Methods["workspace"]["patch"]["apply"];

/** The same method, which reads the file that is named. */
export function withPatchFile(apply: Apply): Apply {
  return async (input, options = {}) => {
    const { patch_path: path, ...rest } = input;
    if (path === undefined) return await apply(input, options);
    if (options.stdin !== undefined || input.patch !== undefined) {
      throw new PyroError("invalid_argument", "a patch comes from a file, a text or a stream, from one of them");
    }
    const file = await opened(path);
    const stdin = file.createReadStream();
    try {
      return await apply(rest, { ...options, stdin });
    } finally {
      stdin.destroy();
    }
  };
}

async function opened(path: string): Promise<FileHandle> {
  const unreadable = (cause?: unknown): PyroError =>
    new PyroError("not_found", `the patch ${JSON.stringify(path)} cannot be read`, {
      cause,
      remedy: "name a file, or give the patch itself",
    });
  const file = await open(path).catch((cause: unknown) => {
    throw unreadable(cause);
  });
  if (!(await file.stat()).isDirectory()) return file;
  await file.close();
  throw unreadable();
}
