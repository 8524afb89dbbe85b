/** Whether installed files are still what was installed. */
import { stat, utimes } from "node:fs/promises";
import { basename, join } from "node:path";
import { PyroError } from "../contract/error.ts";
import { sha256OfFile } from "./hash.ts";
import type { EnvironmentManifest, ManifestFile } from "./manifest.ts";

/**
 * The manifest's entry for a finished file. Its modification time is set to a whole second, which every file system
 * and utimes(2) keep exactly, so that equal means untouched.
 */
export async function recordFile(path: string, content: { bytes: number; sha256: string }): Promise<ManifestFile> {
  const found = await stat(path);
  const seconds = Math.floor(found.mtimeMs / 1000);
  await utimes(path, seconds, seconds);
  return { file: basename(path), bytes: content.bytes, sha256: content.sha256, mtime_ms: seconds * 1000 };
}

/**
 * Checks the files of an installed environment. `quick` reads a file's content only when its size or modification time
 * is not what was recorded; `full` always does.
 *
 * @throws PyroError `artifact_corrupt` naming the file.
 */
export async function checkIntegrity(
  directory: string,
  manifest: EnvironmentManifest,
  depth: "quick" | "full",
): Promise<void> {
  for (const file of [manifest.rootfs, manifest.kernel]) await checkFile(directory, manifest.name, file, depth);
}

async function checkFile(
  directory: string,
  environment: string,
  file: ManifestFile,
  depth: "quick" | "full",
): Promise<void> {
  const path = join(directory, file.file);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw corrupt(environment, path, "is missing");
  if (found.size !== file.bytes) throw corrupt(environment, path, `has ${found.size} bytes instead of ${file.bytes}`);
  if (depth === "quick" && found.mtimeMs === file.mtime_ms) return;
  if ((await sha256OfFile(path)) !== file.sha256)
    throw corrupt(environment, path, "has another content than was installed");
  // Copied or touched, but right: with its recorded time back, the next check is quick again.
  if (found.mtimeMs !== file.mtime_ms)
    await utimes(path, found.atimeMs / 1000, file.mtime_ms / 1000).catch(() => undefined);
}

function corrupt(environment: string, path: string, how: string): PyroError {
  return new PyroError("artifact_corrupt", `${path} ${how}`, { remedy: `pyro env pull ${environment}` });
}
