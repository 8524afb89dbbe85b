/** What of the host's packages pyro needs. The table is requirements.json, which the set-up scripts read too. */
import type { HostFacts } from "./host-facts.ts";
import table from "./requirements.json" with { type: "json" };

export interface Requirement {
  readonly id: string;
  /** Completes "needed, because it …". */
  readonly why: string;
  /** One of the two: a program on the search path, or a file. */
  readonly command?: string | undefined;
  readonly file?: string | undefined;
  readonly minimumVersion?: string | undefined;
  /** Makes `command` print its version; default: --version. */
  readonly versionFlag?: string | undefined;
  /** "run", "pull", "workspace", "build", "test". */
  readonly neededFor: readonly string[];
  /** "everyone" or "unprivileged". */
  readonly neededBy: string;
  readonly packages: Readonly<Record<PackageManagerName, readonly string[]>>;
}

export type PackageManagerName = "apt" | "dnf" | "pacman";

export interface PackageManager {
  readonly name: PackageManagerName;
  /** Words of the command that packages are added to. */
  readonly install: readonly string[];
  /** Words of the command that must come before it, or null. */
  readonly refresh: readonly string[] | null;
}

export const REQUIREMENTS: readonly Requirement[] = table.requirements;

/** The row of the table with that id. Throws for an id that is not in it: the table is ours. */
export function requirement(id: string): Requirement {
  const found = REQUIREMENTS.find((each) => each.id === id);
  if (found === undefined) throw new TypeError(`requirements.json has no ${id}`);
  return found;
}

/** The host's package manager: that of its distribution when it is there, else any that is there. */
export async function detectPackageManager(facts: HostFacts): Promise<PackageManager | undefined> {
  const ids = distributionIds((await facts.readText("etc/os-release")) ?? "");
  const known = (Object.keys(table.packageManagers) as PackageManagerName[]).map((name) => ({
    name,
    ...table.packageManagers[name],
  }));
  const present = await Promise.all(
    known.map(async ({ install }) => (await facts.find(install[0] ?? "")) !== undefined),
  );
  const there = known.filter((_, index) => present[index]);
  const fits = ({ distributions }: { distributions: string[] }): boolean =>
    distributions.some((id) => ids.includes(id));
  return there.find(fits) ?? there[0] ?? known.find(fits);
}

/** ID and ID_LIKE of os-release(5), most specific first. */
function distributionIds(osRelease: string): string[] {
  const value = (name: string): string[] =>
    new RegExp(`^${name}=["']?([^"'\n]*)`, "m").exec(osRelease)?.[1]?.split(" ") ?? [];
  return [...value("ID"), ...value("ID_LIKE")];
}

/** One command line that installs `packages`; written with sudo, see `privileged`. */
export function installCommand(manager: PackageManager, packages: readonly string[]): string {
  const words = [...manager.install, ...new Set(packages)];
  const commands = manager.refresh === null ? [words] : [manager.refresh, words];
  return commands.map((each) => `sudo ${each.join(" ")}`).join(" && ");
}

/** `command` as it is to be typed here: without sudo as root, through su where there is no sudo. */
export async function privileged(facts: HostFacts, command: string): Promise<string> {
  const bare = command.replaceAll(/\bsudo /g, "");
  if (bare === command || (facts.uid !== 0 && (await facts.find("sudo")) !== undefined)) return command;
  return facts.uid === 0 ? bare : `su -c '${bare.replaceAll("'", "'\\''")}'`;
}
