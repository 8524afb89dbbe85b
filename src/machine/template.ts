/**
 * Templates: machines booted once, saved with their memory, restored for every start.
 *
 * A template is named by all that it depends on, so a stale one is simply never asked for. One that is incomplete or was
 * altered is made again.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { PyroError } from "../contract/error.ts";
import { isErrno, readTextIfPresent, syncDirectory } from "../host/files.ts";
import { parseJson } from "../host/json.ts";
import { type HostPaths, templatesDirectory } from "../host/paths.ts";
import { Scope } from "../host/scope.ts";
import type { TemplateFiles } from "../vmm/driver.ts";

/** Raised when what is saved in a template changes without its parts changing: duties, slots, kernel parameters. */
const TEMPLATE_REVISION = 2;

const RECORD_NAME = "template.json";

const templateRecord = z.object({
  version: z.literal(1),
  /** What the key was made of, for a person and for `env prune`. */
  parts: z.record(z.string(), z.union([z.string(), z.number()])),
  memory: z.object({ bytes: z.number(), mtime_ms: z.number() }),
  state: z.object({ sha256: z.string() }),
});

/** Everything a template depends on: the same parts give the same template. */
export type TemplateParts = Readonly<Record<string, string | number>>;

/** A template that is whole. */
export interface Template extends TemplateFiles {
  /** Names what is saved, not only what it was made of: a template that is made again has another one. */
  readonly id: string;
}

/** Directories of templates that are being made; a crash leaves them. */
const PARTIAL_PREFIX = ".partial-";

/** The name of a template: a digest of its parts. */
export function templateKey(parts: TemplateParts): string {
  const identity = JSON.stringify({ revision: TEMPLATE_REVISION, ...parts });
  return createHash("sha256").update(identity).digest("hex").slice(0, 32);
}

/**
 * The template, or why the one that is there is not used: undefined when none is there.
 */
export async function findTemplate(
  paths: HostPaths,
  key: string,
): Promise<{ template: Template } | { missing: string | undefined }> {
  const directory = join(templatesDirectory(paths), key);
  const files = templateFiles(directory);
  const text = await readTextIfPresent(join(directory, RECORD_NAME));
  if (text === undefined) return { missing: undefined };
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
  return { template: { ...files, id: sha256(text) } };
}

/** Remembers that the template was used now. */
export async function markUsed(template: TemplateFiles): Promise<void> {
  const now = new Date();
  // Only a hint: a template that is gone or may not be touched is as good without it.
  await utimes(join(dirname(template.memoryPath), RECORD_NAME), now, now).catch(() => undefined);
}

/** The template that was used last, with the identity of the driver that made it; not looked at any closer. */
export async function lastUsedTemplate(paths: HostPaths): Promise<{ files: TemplateFiles; vmm: string } | undefined> {
  const parent = templatesDirectory(paths);
  const names = await readdir(parent).catch(() => []);
  const candidates = await Promise.all(
    names
      .filter((name) => !name.startsWith(PARTIAL_PREFIX))
      .map(async (name) => {
        const found = await stat(join(parent, name, RECORD_NAME)).catch(() => undefined);
        return { directory: join(parent, name), usedMs: found?.mtimeMs ?? Number.NEGATIVE_INFINITY };
      }),
  );
  const [last] = candidates.toSorted((one, other) => other.usedMs - one.usedMs);
  if (last === undefined) return undefined;
  const record = templateRecord.safeParse(
    parseJson((await readTextIfPresent(join(last.directory, RECORD_NAME))) ?? ""),
  );
  return record.success ? { files: templateFiles(last.directory), vmm: String(record.data.parts["vmm"]) } : undefined;
}

/**
 * Makes a template: `save` writes the files of a directory of its own, which then takes the template's place whole.
 * @throws PyroError resource_exhausted when the disk is full
 */
export async function makeTemplate(
  paths: HostPaths,
  parts: TemplateParts,
  save: (files: TemplateFiles) => Promise<void>,
): Promise<Template> {
  const key = templateKey(parts);
  const parent = templatesDirectory(paths);
  const partial = join(parent, `${PARTIAL_PREFIX}${key}`);
  const directory = join(parent, key);
  await using scope = new Scope();
  await rm(partial, { recursive: true, force: true });
  scope.defer(() => rm(partial, { recursive: true, force: true }));
  try {
    await mkdir(partial, { recursive: true, mode: 0o700 });
    await save(templateFiles(partial));
    const text = await describe(partial, parts);
    await writeFile(join(partial, RECORD_NAME), text, { mode: 0o600, flush: true });
    await syncDirectory(partial);
    // A crash in between leaves none, which is as good as the old one: that was not found whole, or did not start.
    await rm(directory, { recursive: true, force: true });
    await rename(partial, directory);
    return { ...templateFiles(directory), id: sha256(text) };
  } catch (failure) {
    throw isDiskFull(failure) ? noRoom(parent, failure) : failure;
  }
}

/** Removes what a crash in the middle of making a template left: up to the size of a guest's memory each. */
export async function removePartialTemplates(paths: HostPaths): Promise<void> {
  const parent = templatesDirectory(paths);
  const names = await readdir(parent).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(PARTIAL_PREFIX))) {
    await rm(join(parent, name), { recursive: true, force: true });
  }
}

/** The record of the files in `directory`, as text. */
async function describe(directory: string, parts: TemplateParts): Promise<string> {
  const { memoryPath, statePath } = templateFiles(directory);
  const memory = await stat(memoryPath);
  const record: z.infer<typeof templateRecord> = {
    version: 1,
    parts: { ...parts },
    memory: { bytes: memory.size, mtime_ms: memory.mtimeMs },
    state: { sha256: sha256(await readFile(statePath)) },
  };
  return JSON.stringify(record, null, 2);
}

/** Whether there was no room: a write said so, or the VMM was ended because a page of guest memory had no block. */
function isDiskFull(failure: unknown): boolean {
  if (isErrno(failure, "ENOSPC") || isErrno(failure, "EDQUOT")) return true;
  if (!PyroError.is(failure)) return false;
  return (failure.code === "vmm_failed" && failure.evidence["exit"] === "SIGBUS") || isDiskFull(failure.cause);
}

function noRoom(directory: string, cause: unknown): PyroError {
  return new PyroError("resource_exhausted", `there is no room for a template in ${directory}`, {
    cause,
    remedy: "free some space there, for example with `pyro env prune`, or set PYRO_CACHE_DIR to a larger disk",
  });
}

function templateFiles(directory: string): TemplateFiles {
  return { memoryPath: join(directory, "memory"), statePath: join(directory, "state") };
}

function sha256(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}
