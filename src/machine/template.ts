/**
 * Templates: machines booted once, saved with their memory, restored for every start.
 *
 * A template is named by all that it depends on, so a stale one is simply never asked for. One that is incomplete or was
 * altered is made again.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { readTextIfPresent, syncDirectory } from "../host/files.ts";
import { type HostPaths, templatesDirectory } from "../host/paths.ts";
import { Scope } from "../host/scope.ts";
import type { TemplateFiles } from "../vmm/driver.ts";

/** Raised when what is saved in a template changes without its parts changing: duties, slots, kernel parameters. */
const TEMPLATE_REVISION = 1;

const templateRecord = z.object({
  version: z.literal(1),
  /** What the key was made of, for a person and for `env prune`. */
  parts: z.record(z.string(), z.union([z.string(), z.number()])),
  memory: z.object({ bytes: z.number(), mtime_ms: z.number() }),
  state: z.object({ sha256: z.string() }),
});

/** Everything a template depends on: the same parts give the same template. */
export type TemplateParts = Readonly<Record<string, string | number>>;

/** The name of a template: a digest of its parts. */
export function templateKey(parts: TemplateParts): string {
  const identity = JSON.stringify({ revision: TEMPLATE_REVISION, ...parts });
  return createHash("sha256").update(identity).digest("hex").slice(0, 32);
}

/**
 * The files of a template that is whole, or why there is none.
 */
export async function findTemplate(
  paths: HostPaths,
  key: string,
): Promise<{ files: TemplateFiles } | { missing: string }> {
  const directory = join(templatesDirectory(paths), key);
  const files = templateFiles(directory);
  const text = await readTextIfPresent(join(directory, "template.json"));
  if (text === undefined) return { missing: "not made yet" };
  const record = templateRecord.safeParse(parseJson(text));
  if (!record.success) return { missing: "its record is damaged" };
  const memory = await stat(files.memoryPath).catch(() => undefined);
  if (memory === undefined) return { missing: "its memory file is gone" };
  if (memory.size !== record.data.memory.bytes || memory.mtimeMs !== record.data.memory.mtime_ms) {
    return { missing: "its memory file was changed" };
  }
  const state = await readFile(files.statePath).catch(() => undefined);
  if (state === undefined) return { missing: "its device state is gone" };
  if (sha256(state) !== record.data.state.sha256) return { missing: "its device state was changed" };
  return { files };
}

/**
 * Makes a template: `save` writes the files of a directory of its own, which then takes the template's place whole.
 */
export async function makeTemplate(
  paths: HostPaths,
  parts: TemplateParts,
  save: (files: TemplateFiles) => Promise<void>,
): Promise<TemplateFiles> {
  const key = templateKey(parts);
  const parent = templatesDirectory(paths);
  const partial = join(parent, `.partial-${key}`);
  const directory = join(parent, key);
  await using scope = new Scope();
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true, mode: 0o700 });
  scope.defer(() => rm(partial, { recursive: true, force: true }));
  const files = templateFiles(partial);
  await save(files);
  const memory = await stat(files.memoryPath);
  const record: z.infer<typeof templateRecord> = {
    version: 1,
    parts: { ...parts },
    memory: { bytes: memory.size, mtime_ms: memory.mtimeMs },
    state: { sha256: sha256(await readFile(files.statePath)) },
  };
  await writeFile(join(partial, "template.json"), JSON.stringify(record, null, 2), { mode: 0o600, flush: true });
  await syncDirectory(partial);
  await removeTemplate(paths, key);
  await rename(partial, directory);
  return templateFiles(directory);
}

/** Removes a template; machines that were started from it keep their open files. */
export async function removeTemplate(paths: HostPaths, key: string): Promise<void> {
  await rm(join(templatesDirectory(paths), key), { recursive: true, force: true });
}

function templateFiles(directory: string): TemplateFiles {
  return { memoryPath: join(directory, "memory"), statePath: join(directory, "state") };
}

function sha256(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
