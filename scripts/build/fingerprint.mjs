/** Tells whether a part of the build is still what its inputs make. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CACHE, ROOT } from "../project.mjs";

/**
 * Runs `make` unless `outputs` exist and the content of `inputs` (files and folders, relative to the checkout) is what
 * it was the last time. Content and not times, because a checkout gives every file a new time.
 */
export async function onChange(name, { inputs, outputs }, make) {
  const stamp = join(CACHE, "build", `${name}.sha256`);
  const now = contentHash(inputs);
  const fresh = outputs.every((path) => existsSync(path)) && existsSync(stamp) && readFileSync(stamp, "utf8") === now;
  if (fresh) return "up to date";
  await make();
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, now);
  return "built";
}

/** SHA-256 of all files under `inputs` and their names, and of the Node that works on them. */
export function contentHash(inputs) {
  const hash = createHash("sha256").update(process.version);
  for (const path of inputs.flatMap((input) => filesUnder(input))) {
    hash
      .update(`${path}\0`)
      .update(readFileSync(join(ROOT, path)))
      .update("\0");
  }
  return hash.digest("hex");
}

/** Every file under `path` in one fixed order; the path itself when it is a file, nothing when it is not there. */
function filesUnder(path) {
  const absolute = join(ROOT, path);
  if (!existsSync(absolute)) return [];
  if (!statSync(absolute).isDirectory()) return [path];
  const names = readdirSync(absolute).toSorted();
  return names.flatMap((name) => filesUnder(join(path, name)));
}
