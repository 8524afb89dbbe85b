/** Finds an environment by its name among the built-in ones and the user's own. */
import { PyroError } from "../contract/error.ts";
import { ENVIRONMENT_NAME_CHARS_MAX } from "../contract/limits.ts";
import type { HostPaths } from "../host/paths.ts";
import { CATALOG } from "./catalog.ts";
import { readCustomEnvironments } from "./custom.ts";
import type { EnvironmentDefinition } from "./definition.ts";

/** All environments there are, built-in ones first. */
export async function knownEnvironments(paths: HostPaths): Promise<EnvironmentDefinition[]> {
  return [...CATALOG, ...(await readCustomEnvironments(paths))];
}

/**
 * The environment `name`.
 *
 * @throws PyroError `not_found` naming the known ones, the likeliest first.
 */
export async function findEnvironment(name: string, paths: HostPaths): Promise<EnvironmentDefinition> {
  const builtin = CATALOG.find((definition) => definition.name === name);
  // A mistake in the user's own file must not keep the built-in ones from working.
  if (builtin !== undefined) return builtin;
  const known = await knownEnvironments(paths);
  const found = known.find((definition) => definition.name === name);
  if (found !== undefined) return found;
  const names = known.map((definition) => definition.name);
  const shown = JSON.stringify(name.slice(0, ENVIRONMENT_NAME_CHARS_MAX));
  const nearest = nearestName(name, names);
  throw new PyroError("not_found", `there is no environment ${shown}; known: ${names.join(", ")}`, {
    remedy: nearest === undefined ? "pyro env list" : `did you mean ${nearest}?`,
  });
}

/** The candidate a slip of the keyboard away from `name`, if any: at most a third of its characters edited. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  const given = name.slice(0, ENVIRONMENT_NAME_CHARS_MAX).toLowerCase();
  const scored = candidates.map((candidate) => ({ candidate, distance: editDistance(given, candidate.toLowerCase()) }));
  const best = scored.toSorted((a, b) => a.distance - b.distance)[0];
  if (best === undefined || best.distance > Math.max(1, Math.floor(best.candidate.length / 3))) return undefined;
  return best.candidate;
}

/** Levenshtein distance: insertions, deletions and replacements that make `a` into `b`. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
