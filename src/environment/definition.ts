/** What an environment consists of, before anything of it is on this host. */
import { createHash } from "node:crypto";
import type { EnvironmentDefaults } from "../contract/environment.ts";

/** The only platform there are guests for so far. */
export const PLATFORM = "linux-x86_64";

/** Debian releases that can be the base of an environment, with the number users know them by. */
export const DEBIAN_SUITES = { bookworm: "12", trixie: "13" } as const;
export type DebianSuite = keyof typeof DEBIAN_SUITES;

export interface EnvironmentDefinition {
  /** The name users give, for example `debian:12`. */
  readonly name: string;
  /** Version of the recipe; part of the install directory's name. */
  readonly version: string;
  readonly description: string;
  readonly suite: DebianSuite;
  /** Debian packages to install beyond the minimal system (minbase). */
  readonly packages: readonly string[];
  /** What is worth telling a user of it, not the whole list. */
  readonly defaultPackages: readonly string[];
  readonly defaults: EnvironmentDefaults;
  readonly origin: "builtin" | "user";
}

/**
 * Generation of the build itself: hooks, package settings, image options. Raise it when an image built by an older
 * pyro should be built again.
 */
const BUILD_GENERATION = 1;

/** Identifies what is built. An installed environment with another recipe is out of date, whatever its version says. */
export function recipeDigest(definition: EnvironmentDefinition): string {
  const recipe = [
    BUILD_GENERATION,
    definition.name,
    definition.version,
    definition.suite,
    [...definition.packages].toSorted(),
  ];
  return createHash("sha256").update(JSON.stringify(recipe)).digest("hex");
}

/** Name of its directory in the cache: `debian_12-1.0.0`. Names have no `_` of their own, so no two share one. */
export function installDirectoryName(definition: Pick<EnvironmentDefinition, "name" | "version">): string {
  return `${definition.name.replaceAll(":", "_")}-${definition.version}`;
}
