/**
 * The variables that decide what pyro's server does: the one list of them.
 *
 * The server gets them from whoever starts it and keeps them for its life. A client says which it has with every request,
 * so that none is served by a server that was set up differently.
 */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import type { HostPaths } from "./paths.ts";

/** `path`: relative ones mean the caller's directory. `program`: the same when there is a slash in it, else a name in PATH. */
type Kind = "text" | "path" | "program";

const PROXIES = ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"];

const SETTINGS: Readonly<Record<string, Kind>> = {
  PYRO_MACHINE: "text",
  PYRO_QEMU: "program",
  PYRO_FIRECRACKER: "path",
  PYRO_KERNEL: "path",
  PYRO_KERNEL_MODULES: "path",
  PYRO_AGENT_PATH: "path",
  PYRO_LAUNCHER_PATH: "path",
  PYRO_SEEDER_PATH: "path",
  PYRO_DEBIAN_MIRROR: "text",
  PYRO_READY_MACHINES: "text",
  PYRO_SERVER_IDLE_SECONDS: "text",
  SSL_CERT_FILE: "path",
  SSL_CERT_DIR: "path",
  NODE_EXTRA_CA_CERTS: "path",
  ...Object.fromEntries(PROXIES.flatMap((name) => [name, name.toUpperCase()]).map((name) => [name, "text" as const])),
};

/** Names of the settings that have no default of their own in paths.ts. */
export const SETTING_NAMES: readonly string[] = Object.keys(SETTINGS);

/**
 * The settings of `env` as a server is to get them, in the list's order, with the places that `paths` has. An empty one
 * counts as not set. The runtime directory is not among them: who reaches the server's socket has the same one.
 */
export function settingsOf(env: NodeJS.ProcessEnv, paths: HostPaths): Record<string, string> {
  const set = Object.entries(SETTINGS).flatMap(([name, kind]): [string, string][] => {
    const value = env[name];
    return value === undefined || value === "" ? [] : [[name, absolute(value, kind)]];
  });
  return {
    ...Object.fromEntries(set),
    PYRO_CACHE_DIR: paths.cache,
    PYRO_STATE_DIR: paths.state,
    PYRO_CONFIG_DIR: paths.config,
  };
}

/** What a client and a server compare: names with digests, because a proxy's address may hold a password. */
export function settingsDigest(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${createHash("sha256").update(`${name}\0${value}`).digest("hex").slice(0, 12)}`)
    .join(" ");
}

/** Names of the settings in which two digests differ. */
export function differingSettings(one: string, other: string): string[] {
  const [left, right] = [entriesOf(one), entriesOf(other)];
  const unshared = [
    ...left.filter((entry) => !right.includes(entry)),
    ...right.filter((entry) => !left.includes(entry)),
  ];
  return [...new Set(unshared.map((entry) => entry.split("=")[0] ?? ""))].toSorted();
}

const entriesOf = (digest: string): string[] => digest.split(" ").filter((entry) => entry !== "");

function absolute(value: string, kind: Kind): string {
  return kind === "path" || (kind === "program" && value.includes("/")) ? resolve(value) : value;
}
