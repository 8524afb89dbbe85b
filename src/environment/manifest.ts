/** What is recorded of an installed environment: `environment.json` in its directory. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { PyroError } from "../contract/error.ts";
import { isErrno } from "../host/files.ts";

export const MANIFEST_NAME = "environment.json";

const manifestFile = z.object({
  /** Relative to the manifest. */
  file: z.string().regex(/^[a-z0-9][a-z0-9.-]*$/),
  bytes: z.int(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** Modification time when it was written; a file with this time and this size is taken as unchanged. */
  mtime_ms: z.number(),
});

export const environmentManifest = z.object({
  manifest_version: z.literal(1),
  name: z.string(),
  version: z.string(),
  platform: z.string(),
  distribution: z.string(),
  distribution_version: z.string(),
  /** Identifies the recipe it was built by (`recipeDigest`). */
  recipe: z.string(),
  source: z.string(),
  /** RFC 3339. */
  installed_at: z.string(),
  /** SHA-256 of the root file system image: the environment's identity. */
  digest: z.string(),
  rootfs: manifestFile.extend({ format: z.string() }),
  kernel: manifestFile.extend({
    release: z.string(),
    /** Name of its directory in the kernel store, where its modules are. */
    id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9.+~_-]*$/),
  }),
  packages: z.array(z.object({ name: z.string(), version: z.string(), architecture: z.string() })),
});

export type ManifestFile = z.infer<typeof manifestFile>;
export type EnvironmentManifest = z.infer<typeof environmentManifest>;

/**
 * The manifest in `directory`, or undefined when there is none.
 *
 * @throws PyroError `artifact_corrupt` when there is one that cannot be understood.
 */
export async function readManifest(directory: string): Promise<EnvironmentManifest | undefined> {
  const path = join(directory, MANIFEST_NAME);
  try {
    return environmentManifest.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    if (isErrno(cause, "ENOENT") || isErrno(cause, "ENOTDIR")) return undefined;
    const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : cause;
    throw new PyroError("artifact_corrupt", `${path} is not a manifest of this pyro`, { cause: reason });
  }
}
