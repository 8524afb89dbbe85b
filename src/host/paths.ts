/**
 * Where pyro keeps things on the host (XDG Base Directory Specification 0.8), one function per place.
 *
 * Each root can be moved with one variable. All directories are created 0700.
 */
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

export interface HostPaths {
  /** Rebuildable: environments, kernels, templates. `PYRO_CACHE_DIR`. */
  readonly cache: string;
  /** Records of machines and workspaces, logs. `PYRO_STATE_DIR`. */
  readonly state: string;
  /** Sockets, the server's lock; gone after a reboot. `PYRO_RUNTIME_DIR`. */
  readonly runtime: string;
  /** The user's own environments. `PYRO_CONFIG_DIR`. */
  readonly config: string;
}

/** The roots for `env`, without touching the disk. Relative ones are taken from the working directory, empty ones ignored. */
export function hostPaths(env: NodeJS.ProcessEnv = process.env): HostPaths {
  const home = env["HOME"] ?? homedir();
  const runtimeBase = env["XDG_RUNTIME_DIR"];
  return {
    cache: chosen(env, "PYRO_CACHE_DIR") ?? join(env["XDG_CACHE_HOME"] ?? join(home, ".cache"), "pyro"),
    state: chosen(env, "PYRO_STATE_DIR") ?? join(env["XDG_STATE_HOME"] ?? join(home, ".local", "state"), "pyro"),
    runtime:
      chosen(env, "PYRO_RUNTIME_DIR") ??
      // No XDG_RUNTIME_DIR: a cron job, a container, a bare ssh. The name carries the uid and the server checks the owner.
      (runtimeBase === undefined || runtimeBase === ""
        ? join("/tmp", `pyro-${process.getuid?.() ?? 0}`)
        : join(runtimeBase, "pyro")),
    config: chosen(env, "PYRO_CONFIG_DIR") ?? join(env["XDG_CONFIG_HOME"] ?? join(home, ".config"), "pyro"),
  };
}

function chosen(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value === "" ? undefined : resolve(value);
}

export const environmentsDirectory = (paths: HostPaths): string => join(paths.cache, "environments");
/** A root file system that something was started from. */
export interface InstalledRoot {
  /** Directory that its environment was in then. */
  readonly installDir: string;
  /** SHA-256 of its image. */
  readonly digest: string;
}

const KEPT = /@[0-9a-f]{16}$/;

/** Where a root may lie: its environment's directory, and beside that once a newer build has taken its place. */
export function installPlaces({ installDir, digest }: InstalledRoot): string[] {
  const place = installDir.replace(KEPT, "");
  return [place, `${place}@${digest.slice(0, 16)}`];
}

/** Whether this directory is one that a newer build has replaced. */
export const isKeptPlace = (directory: string): boolean => KEPT.test(directory);

export const kernelsDirectory = (paths: HostPaths): string => join(paths.cache, "kernels");
export const templatesDirectory = (paths: HostPaths): string => join(paths.cache, "templates");
/** Firecracker releases that `pyro doctor --fix` installed. */
export const firecrackerDirectory = (paths: HostPaths): string => join(paths.cache, "firecracker");
/** What V8 made of pyro's own programs. */
export const compilationsDirectory = (paths: HostPaths = hostPaths()): string => join(paths.cache, "compiled");
export const serverLogPath = (paths: HostPaths): string => join(paths.state, "server.log");
export const serverSocketPath = (paths: HostPaths): string => join(paths.runtime, "server.sock");
export const serverLockPath = (paths: HostPaths): string => join(paths.runtime, "server.lock");
/** Sockets of one machine. Kept short: a Unix socket's path has at most 107 bytes (unix(7)). */
export const machineRuntimeDirectory = (paths: HostPaths, machineId: string): string =>
  join(paths.runtime, "m", machineId);

/** Creates `directory` and its parents, private to the user. */
export function makePrivateDirectory(directory: string): string {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return directory;
}
