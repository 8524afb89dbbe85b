/** A file that is there as a whole or not at all. */
import { randomBytes } from "node:crypto";
import { link, lstat, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { PyroError } from "../contract/error.ts";

export interface PatchFile {
  readonly stream: Writable;
  /** Gives the file its name, when all that was written is on the disk. @throws PyroError already_exists */
  publish(): Promise<void>;
  /** Removes what was written, unless it has its name. */
  discard(): Promise<void>;
}

/** Opens a fresh file beside `path`. @throws PyroError already_exists, invalid_argument */
export async function openPatchFile(path: string, { overwrite }: { overwrite: boolean }): Promise<PatchFile> {
  const exists = (): PyroError =>
    new PyroError("already_exists", `${path} is there already`, {
      remedy: "name another file, or add --overwrite",
    });
  const found = await lstat(path).catch(() => undefined);
  if (found !== undefined && !overwrite) throw exists();
  if (found !== undefined && !found.isFile()) throw new PyroError("invalid_argument", `${path} is no regular file`);
  const fresh = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}`);
  const handle = await open(fresh, "wx").catch((cause: unknown) => {
    throw new PyroError("invalid_argument", `${path} cannot be written`, { cause });
  });
  const stream = handle.createWriteStream({ autoClose: false });
  return {
    stream,
    publish: async () => {
      stream.end();
      await finished(stream);
      await handle.sync();
      if (overwrite) return await rename(fresh, path);
      // Unlike a rename it never takes the place of what has come meanwhile.
      await link(fresh, path).catch((cause: NodeJS.ErrnoException) => {
        throw cause.code === "EEXIST"
          ? exists()
          : new PyroError("invalid_argument", `${path} cannot be made`, { cause });
      });
    },
    discard: async () => {
      stream.destroy();
      await handle.close().catch(() => undefined);
      await rm(fresh, { force: true });
    },
  };
}
