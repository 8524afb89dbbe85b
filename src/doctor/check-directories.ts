/** pyro's directories: may they be written, is there room, does a socket's path fit. */
import { dirname, isAbsolute, join } from "node:path";
import { environmentsDirectory, type HostPaths, machineRuntimeDirectory } from "../host/paths.ts";
import { fault, type Finding, good } from "./finding.ts";
import type { DirectoryFacts, HostFacts } from "./host-facts.ts";

const MIB = 1024 * 1024;
/**
 * Room in the cache for a pull of debian:12 and its template. Measured: the unpacked system 0.4 GB, its image 0.18 GB,
 * a template's memory file 0.45 GB of 1 GiB (a sparse file: it never takes more than the guest's memory).
 */
const PULL_BYTES = 2048 * MIB;
/** Room in the cache once an environment is there: a template may have to be made again. */
const TEMPLATE_BYTES = 1024 * MIB;
/** Records and logs. */
const STATE_BYTES = 64 * MIB;
/** Sockets and a lock take inodes and hardly any bytes. */
const RUNTIME_BYTES = MIB;
/** Longest path of a Unix socket: 108 bytes with the NUL that ends it (unix(7)). */
const SOCKET_PATH_BYTES_MAX = 107;
/** The longest of a machine's paths: its id has 12 digits, and no socket's name is longer than this one. */
const LONGEST_SOCKET = ["0".repeat(12), "vmm/console.sock"] as const;

interface Place {
  readonly id: string;
  readonly path: string;
  /** What moves it. */
  readonly variable: string;
  readonly needBytes: number;
}

/** Whether any environment is installed, so that a guest can run without a pull. */
export async function hasEnvironment(facts: HostFacts, paths: HostPaths): Promise<boolean> {
  const root = environmentsDirectory(paths);
  for (const platform of await facts.list(root)) {
    for (const environment of await facts.list(join(root, platform))) {
      if ((await facts.list(join(root, platform, environment))).includes("environment.json")) return true;
    }
  }
  return false;
}

export async function checkDirectories(facts: HostFacts, paths: HostPaths, installed: boolean): Promise<Finding[]> {
  const places: Place[] = [
    {
      id: "cache_dir",
      path: paths.cache,
      variable: "PYRO_CACHE_DIR",
      needBytes: installed ? TEMPLATE_BYTES : PULL_BYTES,
    },
    { id: "state_dir", path: paths.state, variable: "PYRO_STATE_DIR", needBytes: STATE_BYTES },
    { id: "runtime_dir", path: paths.runtime, variable: "PYRO_RUNTIME_DIR", needBytes: RUNTIME_BYTES },
  ];
  const findings = await Promise.all(places.map(async (place) => await checkPlace(facts, place, installed)));
  return [...findings, checkSocketPath(facts, paths)];
}

async function checkPlace(facts: HostFacts, place: Place, installed: boolean): Promise<Finding> {
  const { id, path, variable, needBytes } = place;
  const required = true;
  const elsewhere = `set ${variable} to a directory of yours`;
  if (!isAbsolute(path)) return fault(id, `${path} is not an absolute path; ${elsewhere}`, { required });
  const nearest = await nearestExisting(facts, path);
  if (!nearest.facts.isDirectory)
    return fault(id, `${nearest.path} is in the way: it is not a directory; ${elsewhere}`, { required });
  const own = nearest.path === path;
  const foreign = own && nearest.facts.ownerUid !== facts.uid;
  // In /tmp anybody may have made it first; a directory of somebody else is never used for sockets or records.
  if (foreign)
    return fault(id, `${path} belongs to user ${nearest.facts.ownerUid}; ${elsewhere}`, {
      required,
      fix: `sudo chown -R "$(id -u):$(id -g)" '${path}'`,
    });
  if (!nearest.facts.writable)
    return fault(id, `${nearest.path} cannot be written${own ? "" : `, so ${path} cannot be made`}; ${elsewhere}`, {
      required,
    });
  if (own && (nearest.facts.mode & 0o022) !== 0)
    return fault(id, `others may write to ${path}`, { required, fix: `chmod 700 '${path}'`, automatic: true });
  if (nearest.facts.freeBytes < needBytes) {
    const detail = `${path} has room for ${mib(nearest.facts.freeBytes)}, and ${mib(needBytes)} are needed; free some, or ${elsewhere}`;
    // With an environment there, a full cache only keeps new ones out.
    return fault(id, detail, {
      required: id !== "cache_dir" || !installed,
      fix: id === "cache_dir" && installed ? "pyro env prune" : null,
    });
  }
  return good(id, `${path}, ${mib(nearest.facts.freeBytes)} free`, { required });
}

function checkSocketPath(facts: HostFacts, paths: HostPaths): Finding {
  const id = "socket_path";
  const longest = Buffer.byteLength(join(machineRuntimeDirectory(paths, LONGEST_SOCKET[0]), LONGEST_SOCKET[1]));
  const detail = `the longest socket path has ${longest} bytes of at most ${SOCKET_PATH_BYTES_MAX}`;
  if (longest <= SOCKET_PATH_BYTES_MAX) return good(id, detail, { required: true });
  const fix = `export PYRO_RUNTIME_DIR=/tmp/pyro-${facts.uid}`;
  return fault(id, `${paths.runtime} is too long for sockets: ${detail}`, { required: true, fix });
}

async function nearestExisting(facts: HostFacts, path: string): Promise<{ path: string; facts: DirectoryFacts }> {
  for (let at = path; ; at = dirname(at)) {
    const found = await facts.directory(at);
    if (found !== undefined) return { path: at, facts: found };
    // Nothing is there, not even the root: said as a directory without any room.
    if (at === dirname(at))
      return { path: at, facts: { isDirectory: true, ownerUid: 0, mode: 0, writable: false, freeBytes: 0 } };
  }
}

const mib = (bytes: number): string => `${Math.floor(bytes / MIB)} MiB`;
