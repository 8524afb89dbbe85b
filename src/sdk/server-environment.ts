/** What of its starter's environment the server gets: it outlives the shell, and must not keep that one's secrets. */
import type { HostPaths } from "../host/paths.ts";

const NAMES = new Set([
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "LANG",
  "LANGUAGE",
  "TZ",
  "TMPDIR",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NODE_EXTRA_CA_CERTS",
  ...["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"].flatMap((name) => [name, name.toUpperCase()]),
]);
const PREFIXES = ["LC_", "XDG_", "PYRO_"];

/** The allowed variables of `env`, with the places of state pinned to `paths`. */
export function serverEnvironment(env: NodeJS.ProcessEnv, paths: HostPaths): NodeJS.ProcessEnv {
  const allowed = Object.entries(env).filter(
    ([name]) => NAMES.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix)),
  );
  return {
    ...Object.fromEntries(allowed),
    PYRO_CACHE_DIR: paths.cache,
    PYRO_STATE_DIR: paths.state,
    PYRO_RUNTIME_DIR: paths.runtime,
    PYRO_CONFIG_DIR: paths.config,
  };
}
