/** The user's own environments: `environments.toml` in the configuration directory. See docs/environments.md. */
import { join } from "node:path";
import { parse, TomlError } from "smol-toml";
import * as z from "zod";
import { PyroError } from "../contract/error.ts";
import {
  ENVIRONMENT_NAME_CHARS_MAX,
  MEMORY_MIB_MAX,
  MEMORY_MIB_MIN,
  VCPU_COUNT_MAX,
  VCPU_COUNT_MIN,
} from "../contract/limits.ts";
import { readTextIfPresent } from "../host/files.ts";
import type { HostPaths } from "../host/paths.ts";
import { CATALOG } from "./catalog.ts";
import { DEBIAN_SUITES, type DebianSuite, type EnvironmentDefinition } from "./definition.ts";

/** A name becomes part of a path: no separators, and no `_`, which stands for `:` there. */
const NAME = /^[a-z0-9][a-z0-9.+-]*(?::[a-z0-9][a-z0-9.+-]*)?$/;
/** Debian Policy 5.6.1, so that a word can never be taken for an option, a pattern or a path by apt. */
const PACKAGE_NAME = /^[a-z0-9][a-z0-9+.-]+$/;

const suites = Object.keys(DEBIAN_SUITES) as DebianSuite[];

const entry = z.strictObject({
  description: z.string().max(200).default(""),
  version: z
    .string()
    .regex(/^\d+\.\d+\.\d+$/, "must look like 1.0.0")
    .default("1.0.0"),
  suite: z.enum(suites).default("bookworm"),
  packages: z.array(z.string().regex(PACKAGE_NAME, "is not the name of a Debian package")).max(1000).default([]),
  vcpu_count: z.int().min(VCPU_COUNT_MIN).max(VCPU_COUNT_MAX).default(1),
  mem_mib: z.int().min(MEMORY_MIB_MIN).max(MEMORY_MIB_MAX).default(1024),
});

const file = z.strictObject({
  environments: z
    .record(
      z
        .string()
        .max(ENVIRONMENT_NAME_CHARS_MAX)
        .regex(NAME, "is not a name for an environment: lower-case letters, digits, `.`, `+`, `-` and one `:`"),
      entry,
    )
    .default({}),
});

export const customEnvironmentsPath = (paths: HostPaths): string => join(paths.config, "environments.toml");

/**
 * The environments of `environments.toml`, in its order; none when there is no such file.
 *
 * @throws PyroError `invalid_argument` naming file, line and key of the first mistake.
 */
export async function readCustomEnvironments(paths: HostPaths): Promise<EnvironmentDefinition[]> {
  const path = customEnvironmentsPath(paths);
  const text = await readTextIfPresent(path);
  return text === undefined ? [] : parseCustomEnvironments(text, path);
}

/** As `readCustomEnvironments`, of the file's text. */
export function parseCustomEnvironments(text: string, path: string): EnvironmentDefinition[] {
  const parsed = file.safeParse(parseToml(text, path));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const unknown = issue?.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [];
    const keys = [...(issue?.path ?? []).map(String), ...unknown];
    throw mistake(path, lineOf(text, keys), `${keys.join(".")}: ${reasonOf(issue)}`);
  }
  return Object.entries(parsed.data.environments).map(([name, value]) => {
    if (CATALOG.some((definition) => definition.name === name)) {
      throw mistake(
        path,
        lineOf(text, ["environments", name]),
        `environments.${name}: the name is taken by a built-in environment`,
      );
    }
    return {
      name,
      version: value.version,
      description: value.description,
      suite: value.suite,
      packages: value.packages,
      defaultPackages: ["bash", "coreutils", ...value.packages],
      defaults: { vcpu_count: value.vcpu_count, mem_mib: value.mem_mib },
      origin: "user",
    };
  });
}

function reasonOf(issue: z.core.$ZodIssue | undefined): string {
  if (issue?.code === "unrecognized_keys") return "there is no such key";
  // Zod says only that a name is not valid; why is one level down.
  if (issue?.code === "invalid_key") return issue.issues[0]?.message ?? issue.message;
  return issue?.message ?? "not understood";
}

function parseToml(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    if (cause instanceof TomlError) throw mistake(path, cause.line, cause.message.split("\n")[0] ?? "not TOML");
    throw cause;
  }
}

function mistake(path: string, line: number | undefined, what: string): PyroError {
  return new PyroError("invalid_argument", `${path}${line === undefined ? "" : `:${line}`}: ${what}`, {
    remedy: `correct ${path}`,
  });
}

/**
 * The line where the deepest of `keys` is first spelled out, counted from 1. The parser keeps no positions, so this
 * searches: for each key in turn, from where the one before it was found.
 */
export function lineOf(text: string, keys: readonly string[]): number | undefined {
  const lines = text.split("\n");
  let found: number | undefined;
  for (const key of keys) {
    // A key at a line's start, or the last one of a table's header; quoted or not.
    const word = key.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
    const pattern = new RegExp(String.raw`^\s*(?:\[(?:[^\]]*["'.[])?|["'])?${word}["']?\s*(?:[\].=]|$)`);
    const next = lines.findIndex((line, index) => index >= (found ?? 0) && pattern.test(line));
    if (next >= 0) found = next;
  }
  return found === undefined ? undefined : found + 1;
}
