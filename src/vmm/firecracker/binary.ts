/**
 * Which Firecracker there is: PYRO_FIRECRACKER, else the release that pyro installed, else PATH. The installed one is
 * held against its pinned hash before anything of it is executed; the others are the user's own.
 */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { PyroError } from "../../contract/error.ts";
import type { HostPaths } from "../../host/paths.ts";
import { runProgram } from "../../host/process.ts";
import { executable, findProgram, isAtLeast } from "../program.ts";
import { FIRECRACKER_MINIMUM, FIRECRACKER_RELEASE, type FirecrackerRelease, releaseDirectory } from "./release.ts";

/** `--version` takes 5 ms; a host that swaps, or a nested machine, needs longer. */
const VERSION_DEADLINE_MS = 5000;

export type FirecrackerSource = "PYRO_FIRECRACKER" | "installed" | "PATH";

export interface FirecrackerProgram {
  /** Absolute path. */
  readonly path: string;
  /** For example "1.12.1". */
  readonly version: string;
  readonly source: FirecrackerSource;
  /** Changes when the file is replaced: what was learnt of the old one is not true of the new one. */
  readonly fileIdentity: string;
}

export interface FirecrackerSearch {
  readonly paths: HostPaths;
  readonly env: NodeJS.ProcessEnv;
  /** Default: the pinned one. For tests. */
  readonly release?: FirecrackerRelease;
  readonly versionDeadlineMs?: number;
}

/** What mends an absent or unfit Firecracker. */
const REMEDY = `run \`pyro doctor --fix\`, which installs ${FIRECRACKER_RELEASE.version}, or set PYRO_FIRECRACKER to one that is ${FIRECRACKER_MINIMUM} or newer`;

/**
 * The Firecracker that pyro uses. The first of the three places that has one decides: what is unfit there is said, and
 * not passed over for another.
 * @throws PyroError not_found when there is none; dependency_missing when what is named is not there, does not run, or is
 *   older than FIRECRACKER_MINIMUM; permission_denied when it may not be executed; artifact_corrupt when the installed one is not what was installed
 */
export async function findFirecracker(search: FirecrackerSearch): Promise<FirecrackerProgram> {
  const { paths, env, release = FIRECRACKER_RELEASE } = search;
  const named = env["PYRO_FIRECRACKER"];
  if (named !== undefined && named !== "") return await foreignProgram(resolve(named), "PYRO_FIRECRACKER", search);
  const installed = await installedProgram(paths, release);
  if (installed !== undefined) return installed;
  const found = await findProgram("firecracker", env["PATH"]);
  if (found !== undefined) return await foreignProgram(found, "PATH", search);
  throw new PyroError("not_found", "Firecracker is not installed", { remedy: REMEDY });
}

/**
 * The release that pyro installed, or undefined when it is not there.
 * @throws PyroError artifact_corrupt when the program in its place is missing, altered or not executable
 */
export async function installedProgram(
  paths: HostPaths,
  release: FirecrackerRelease = FIRECRACKER_RELEASE,
): Promise<FirecrackerProgram | undefined> {
  const directory = releaseDirectory(paths, release);
  if ((await stat(directory).catch(() => undefined)) === undefined) return undefined;
  const path = join(directory, "firecracker");
  await verifyInstalled(path, release);
  return { path, version: release.version, source: "installed", fileIdentity: await fileIdentity(path) };
}

/** Installed files that are what they must be, by path and identity: hashing 3 MB at every start would show. */
const verified = new Map<string, string>();

async function verifyInstalled(path: string, release: FirecrackerRelease): Promise<void> {
  const altered = (cause?: unknown): PyroError =>
    new PyroError("artifact_corrupt", `${path} is not the Firecracker that pyro installed`, {
      cause,
      remedy: "run `pyro doctor --fix`, which installs it again",
    });
  const identity = await fileIdentity(path).catch((cause: unknown) => Promise.reject(altered(cause)));
  const key = `${path} ${release.programSha256}`;
  if (verified.get(key) === identity) return;
  const bytes = await readFile(path).catch((cause: unknown) => Promise.reject(altered(cause)));
  if (createHash("sha256").update(bytes).digest("hex") !== release.programSha256) throw altered();
  if ((await executable(path)) === undefined) throw altered(new Error("it may not be executed"));
  verified.set(key, identity);
}

async function foreignProgram(
  path: string,
  source: FirecrackerSource,
  search: FirecrackerSearch,
): Promise<FirecrackerProgram> {
  const where = source === "PATH" ? path : `PYRO_FIRECRACKER names ${path}, which`;
  const file = await stat(path).catch(() => undefined);
  if (file?.isFile() !== true) {
    throw new PyroError("dependency_missing", `${where} is not there, or no file`, { remedy: REMEDY });
  }
  if ((await executable(path)) === undefined) {
    throw new PyroError("permission_denied", `${where} may not be executed`, { remedy: `chmod +x '${path}'` });
  }
  const deadlineMs = search.versionDeadlineMs ?? VERSION_DEADLINE_MS;
  const version = await versionOf(path, deadlineMs);
  if (!isAtLeast(version, FIRECRACKER_MINIMUM)) {
    const message = `${path} is Firecracker ${version}, and pyro needs ${FIRECRACKER_MINIMUM} or newer`;
    throw new PyroError("dependency_missing", message, {
      remedy: REMEDY,
      evidence: { path, found: version, needed: FIRECRACKER_MINIMUM },
    });
  }
  return { path, version, source, fileIdentity: await fileIdentity(path) };
}

/** Versions by path and file: a server asks at every start of a machine. */
const knownVersions = new Map<string, string>();

async function versionOf(path: string, deadlineMs: number): Promise<string> {
  const key = `${path} ${await fileIdentity(path)}`;
  const version = knownVersions.get(key) ?? (await askVersion(path, deadlineMs));
  knownVersions.set(key, version);
  return version;
}

async function askVersion(path: string, deadlineMs: number): Promise<string> {
  let ended;
  try {
    ended = await runProgram(path, ["--version"], { deadlineMs });
  } catch (cause) {
    const hung = PyroError.is(cause) && cause.code === "deadline_exceeded";
    const how = hung ? `does not say its version within ${deadlineMs} ms` : "does not run";
    throw new PyroError("dependency_missing", `${path} ${how}`, { cause, remedy: REMEDY });
  }
  const version = parseFirecrackerVersion(ended.stdout);
  if (version !== undefined) return version;
  throw new PyroError("dependency_missing", `${path} does not say that it is Firecracker`, {
    remedy: REMEDY,
    evidence: {
      exit: String(ended.code ?? ended.signal),
      output: (ended.stderr.trim() || ended.stdout.trim()).slice(-400),
    },
  });
}

/** "1.12.1" of "Firecracker v1.12.1"; undefined when the text is something else. */
export function parseFirecrackerVersion(text: string): string | undefined {
  return /^Firecracker v(\d+\.\d+\.\d+)/m.exec(text)?.[1];
}

/** The time of the last change of status cannot be set back by whoever alters a file. */
async function fileIdentity(path: string): Promise<string> {
  const file = await stat(path, { bigint: true });
  return `${file.dev}:${file.ino}:${file.size}:${file.mtimeNs}:${file.ctimeNs}`;
}
