/** Whether this host can build Debian systems, and the commands that make it able to. */
import { access, constants, readFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { toolEnvironment } from "./apt-run.ts";

export const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Program and the Debian package it is in. `pyro doctor` knows the packages of other distributions. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "apt-get": "apt",
  "dpkg-deb": "dpkg",
  mmdebstrap: "mmdebstrap",
  sqfstar: "squashfs-tools",
};
const UNPRIVILEGED_PROGRAMS: Readonly<Record<string, string>> = { newuidmap: "uidmap", newgidmap: "uidmap" };

/** Ids a Debian system uses: 0 to 65535. */
const SUBORDINATE_IDS = 65_536;
const FIRST_SUBORDINATE_ID = 100_000;

export interface BuildHost {
  /** Root of the file system that is looked at. */
  readonly root: string;
  readonly uid: number;
  readonly userName: string;
  readonly env: NodeJS.ProcessEnv;
}

export const thisHost = (): BuildHost => ({
  root: "/",
  uid: process.getuid?.() ?? 0,
  userName: userInfo().username,
  env: process.env,
});

/**
 * Refuses a host on which a build would fail, before anything is downloaded.
 *
 * @throws PyroError `dependency_missing` naming all missing packages at once, `host_unsupported` when a plain user has
 *   no subordinate ids or may make no user namespaces.
 */
export async function requireBuildHost(host: BuildHost = thisHost()): Promise<void> {
  const wanted = host.uid === 0 ? PROGRAMS : { ...PROGRAMS, ...UNPRIVILEGED_PROGRAMS };
  const missing = new Map<string, string>();
  for (const [program, debianPackage] of Object.entries(wanted)) {
    if (!(await findProgram(host, program))) missing.set(program, debianPackage);
  }
  if (!(await canAccess(join(host.root, KEYRING), constants.R_OK))) missing.set(KEYRING, "debian-archive-keyring");
  if (missing.size > 0) {
    const packages = [...new Set(missing.values())].join(" ");
    throw new PyroError("dependency_missing", `building environments needs ${[...missing.keys()].join(", ")}`, {
      remedy: `sudo apt-get install --yes ${packages} (other distributions: \`pyro doctor\` has their command)`,
    });
  }
  if (host.uid === 0) return;
  await requireUserNamespaces(host);
  await requireSubordinateIds(host);
}

async function requireUserNamespaces(host: BuildHost): Promise<void> {
  const settings = { "kernel.unprivileged_userns_clone": "1", "user.max_user_namespaces": "15000" };
  for (const [name, value] of Object.entries(settings)) {
    const found = await readHostFile(host, join("proc/sys", name.replaceAll(".", "/")));
    if (found?.trim() !== "0") continue; // absent: this kernel has no such switch
    throw new PyroError("host_unsupported", `a plain user may make no user namespaces here (${name} is 0)`, {
      remedy: `sudo sysctl --write ${name}=${value}`,
    });
  }
}

async function requireSubordinateIds(host: BuildHost): Promise<void> {
  const tables = [await subordinateIds(host, "subuid"), await subordinateIds(host, "subgid")];
  const owners = [host.userName, String(host.uid)];
  const has = (table: readonly IdRange[]): boolean =>
    table.some((range) => owners.includes(range.owner) && range.count >= SUBORDINATE_IDS);
  if (tables.every(has)) return;
  const first = Math.max(FIRST_SUBORDINATE_ID, ...tables.flat().map((range) => range.first + range.count));
  const range = `${first}-${first + SUBORDINATE_IDS - 1}`;
  throw new PyroError(
    "host_unsupported",
    `${host.userName} has no ${SUBORDINATE_IDS} subordinate ids in /etc/subuid and /etc/subgid`,
    {
      remedy: `sudo usermod --add-subuids ${range} --add-subgids ${range} ${host.userName}`,
    },
  );
}

interface IdRange {
  readonly owner: string;
  readonly first: number;
  readonly count: number;
}

/** Lines `owner:first:count` (subuid(5)). */
async function subordinateIds(host: BuildHost, name: "subuid" | "subgid"): Promise<IdRange[]> {
  const text = (await readHostFile(host, join("etc", name))) ?? "";
  return text.split("\n").flatMap((line) => {
    const [, owner, first, count] = /^([^:]+):(\d+):(\d+)$/.exec(line.trim()) ?? [];
    return owner === undefined ? [] : { owner, first: Number(first), count: Number(count) };
  });
}

async function findProgram(host: BuildHost, name: string): Promise<boolean> {
  const directories = (toolEnvironment(host.env)["PATH"] ?? "")
    .split(":")
    .filter((directory) => directory.startsWith("/"));
  const found = await Promise.all(
    directories.map((directory) => canAccess(join(host.root, directory, name), constants.X_OK)),
  );
  return found.includes(true);
}

async function readHostFile(host: BuildHost, path: string): Promise<string | undefined> {
  return await readFile(join(host.root, path), "utf8").catch(() => undefined);
}

async function canAccess(path: string, mode: number): Promise<boolean> {
  return await access(path, mode).then(
    () => true,
    () => false,
  );
}
