/**
 * A private apt: configuration, package lists and archives of its own in one directory.
 *
 * It needs no root and touches nothing of the host's apt. apt checks the archive's signature when it fetches the lists;
 * the lists carry the SHA-256 of every package. apt itself compares a package that already lies in its archives by size
 * only (apt 2.6, measured), so `download` checks the hash of what it takes from our cache.
 */
import { link, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { syncDirectory } from "../../host/files.ts";
import type { HostPaths } from "../../host/paths.ts";
import { throwIfCancelled } from "../cancellation.ts";
import type { DebianSuite } from "../definition.ts";
import { sha256OfFile } from "../hash.ts";
import type { PackageVersion } from "../source.ts";
import { runApt } from "./apt-run.ts";
import { KEYRING } from "./build-host.ts";
import { type DebianMirror, parseFields, PUBLIC_MIRROR } from "./mirror.ts";

/** One package that is going to be installed. */
export interface PlannedPackage {
  readonly name: string;
  readonly version: string;
  /** Its name in apt's archives directory. */
  readonly fileName: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Bytes its files will take, as its maintainer declared. */
  readonly installedBytes: number;
}

/** An archives directory, relative to the root's own, that stays empty. */
const NO_ARCHIVES = "cache/none";

export interface AptRoot {
  readonly directory: string;
  /** `deb` lines as apt used them, mirror included. */
  readonly sourceLines: readonly string[];
  /** Environment of apt and of whatever runs it: proxies, search path. */
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

/** The `deb` lines of `suite` on a mirror. With `keyring`, apt accepts no other key than Debian's. */
export function sourceLines(suite: DebianSuite, mirror: DebianMirror = PUBLIC_MIRROR, keyring?: string): string[] {
  const options = keyring === undefined ? "" : `[signed-by=${keyring}] `;
  return [
    `deb ${options}${mirror.main} ${suite} main`,
    `deb ${options}${mirror.main} ${suite}-updates main`,
    `deb ${options}${mirror.security} ${suite}-security main`,
  ];
}

/**
 * Sets apt up in `directory` and fetches the signed package lists of `suite`.
 *
 * @throws PyroError `dependency_missing` without apt, `environment_failed` when the lists cannot be had or verified.
 */
export async function openAptRoot(
  directory: string,
  suite: DebianSuite,
  options: { mirror: DebianMirror; env: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<AptRoot> {
  const parts = ["state/lists/partial", "cache/archives/partial", `${NO_ARCHIVES}/partial`];
  for (const part of [...parts, "etc/apt.conf.d", "etc/preferences.d"]) {
    await mkdir(join(directory, part), { recursive: true, mode: 0o755 });
  }
  const lines = sourceLines(suite, options.mirror, KEYRING);
  await writeFile(join(directory, "sources.list"), `${lines.join("\n")}\n`);
  await writeFile(join(directory, "status"), "");
  await writeFile(join(directory, "apt.conf"), configuration(directory));
  const root = { directory, sourceLines: lines, env: options.env, signal: options.signal };
  await runApt(root, ["update", "--error-on=any"]);
  return root;
}

function configuration(directory: string): string {
  const settings: Record<string, string> = {
    "Dir::State": join(directory, "state"),
    "Dir::State::status": join(directory, "status"),
    "Dir::Cache": join(directory, "cache"),
    "Dir::Etc": join(directory, "etc"),
    "Dir::Etc::sourcelist": join(directory, "sources.list"),
    "APT::Architecture": "amd64",
    // Set, so that apt does not ask dpkg, which knows the host's foreign architectures.
    "APT::Architectures": "amd64",
    "APT::Install-Recommends": "false",
    "APT::Get::Assume-Yes": "true",
    "Acquire::Languages": "none",
    "Acquire::Retries": "3",
    "Acquire::AllowInsecureRepositories": "false",
    "APT::Get::AllowUnauthenticated": "false",
    // The directory is private to the user, so apt's own user could not write to it.
    "APT::Sandbox::User": "",
  };
  return Object.entries(settings)
    .map(([name, value]) => `${name} "${value}";\n`)
    .join("");
}

/**
 * What apt would install for `wanted` (names or apt patterns) on an empty system, in no particular order.
 *
 * @throws PyroError `invalid_argument` when a package does not exist or cannot be installed with the others.
 */
export async function planPackages(root: AptRoot, wanted: readonly string[]): Promise<PlannedPackage[]> {
  // A package that lies in the archives already would not be named: the kernel, when it is also one of the system's.
  const archives = `Dir::Cache::Archives=${join(root.directory, NO_ARCHIVES)}`;
  const uris = await runApt(root, ["install", "--quiet=2", "--print-uris", "-o", archives, ...wanted]);
  const names = uris
    .split("\n")
    .map((line) => /^'[^']+' (\S+_\S+\.deb) \d+/.exec(line)?.[1])
    .filter((name) => name !== undefined);
  if (names.length === 0) return [];
  const shown = await runApt(root, ["show", "--no-all-versions", ...names.map(packageOfFile)], "apt-cache");
  const byFile = new Map(parsePackages(shown).map((item) => [item.fileName, item]));
  return names.map((fileName) => {
    const planned = byFile.get(fileName);
    if (planned === undefined) throw new PyroError("environment_failed", `apt lists no hash for ${fileName}`);
    return planned;
  });
}

/** The name apt gives a package in its archives (pkgAcqArchive): `git_1%3a2.39.5_amd64.deb`. */
export function packageFileName(item: PackageVersion): string {
  return `${item.name}_${item.version.replaceAll(":", "%3a")}_${item.architecture}.deb`;
}

/** `git=1:2.39.5`, as apt takes it, from a package's file name. */
function packageOfFile(fileName: string): string {
  const [name = "", version = ""] = fileName.replace(/\.deb$/, "").split("_");
  return `${name}=${decodeURIComponent(version)}`;
}

/** The stanzas of `apt-cache show`. */
export function parsePackages(text: string): PlannedPackage[] {
  return text.split(/\n\n+/).flatMap((stanza) => {
    const fields = parseFields(stanza);
    const [name, version, architecture] = [fields.get("package"), fields.get("version"), fields.get("architecture")];
    const sha256 = fields.get("sha256");
    if (name === undefined || version === undefined || architecture === undefined || sha256 === undefined) return [];
    return {
      name,
      version,
      fileName: packageFileName({ name, version, architecture }),
      bytes: Number(fields.get("size")),
      sha256,
      installedBytes: Number(fields.get("installed-size") ?? 0) * 1024,
    };
  });
}

/** Downloaded packages, for all environments of this user. */
export const packageCache = (paths: HostPaths): string => join(paths.cache, "debs");

/** Where `download` leaves the packages. */
export const archivesDirectory = (root: AptRoot): string => join(root.directory, "cache", "archives");

/**
 * Puts `planned` into the root's archives: from `cache` where the content is right, else from the mirror. What was
 * fetched is added to `cache`. Bytes on disk are shared with `cache` (hard links).
 */
export async function downloadPackages(
  root: AptRoot,
  planned: readonly PlannedPackage[],
  options: { cache: string; onPercent: (percent: number) => void },
): Promise<void> {
  const archives = archivesDirectory(root);
  const missing: PlannedPackage[] = [];
  for (const item of planned) {
    throwIfCancelled(root.signal);
    if (!(await takeFromCache(item, options.cache, archives))) missing.push(item);
  }
  if (missing.length > 0) {
    const wanted = missing.map((item) => packageOfFile(item.fileName));
    // `download` writes into its working directory and, unlike `install`, never re-solves what to fetch.
    await runApt(root, ["download", "-o", "APT::Status-Fd=1", ...wanted], "apt-get", {
      cwd: archives,
      onPercent: options.onPercent,
    });
  }
  for (const item of missing) await addToCache(item, archives, options.cache);
  if (missing.length > 0) await syncDirectory(options.cache);
}

async function takeFromCache(item: PlannedPackage, cache: string, archives: string): Promise<boolean> {
  const cached = join(cache, item.fileName);
  const hash = await sha256OfFile(cached).catch(() => undefined);
  if (hash === undefined) return false;
  if (hash === item.sha256) {
    const target = join(archives, item.fileName);
    // There already when an earlier plan of the same build had it too.
    await rm(target, { force: true });
    await link(cached, target);
    return true;
  }
  await rm(cached, { force: true });
  return false;
}

async function addToCache(item: PlannedPackage, archives: string, cache: string): Promise<void> {
  const file = join(archives, item.fileName);
  if ((await sha256OfFile(file)) !== item.sha256) {
    throw new PyroError("environment_failed", `${item.fileName} was not downloaded as its archive signed it`, {
      remedy: "try again; if it stays, choose another mirror with PYRO_DEBIAN_MIRROR",
    });
  }
  await mkdir(cache, { recursive: true, mode: 0o700 });
  const temporary = join(cache, `.${item.sha256.slice(0, 16)}.${process.pid}`);
  await rm(temporary, { force: true });
  await link(file, temporary);
  await rename(temporary, join(cache, item.fileName));
}
