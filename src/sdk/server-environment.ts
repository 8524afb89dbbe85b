/** What of its starter's environment the server gets: it outlives the shell, and must not keep that one's secrets. */
import type { HostPaths } from "../host/paths.ts";
import { settingsOf } from "../host/settings.ts";

/**
 * What programs need beside the settings. A server may have others than its client, because they differ from shell to
 * shell and decide nothing of what a machine is.
 */
const PASSED_ON = new Set(["PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"]);
const PREFIXES = ["LC_", "XDG_"];

/** The allowed variables of `env`, with the places of state pinned to `paths`. */
export function serverEnvironment(env: NodeJS.ProcessEnv, paths: HostPaths): NodeJS.ProcessEnv {
  const passedOn = Object.entries(env).filter(
    ([name]) => PASSED_ON.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix)),
  );
  return { ...Object.fromEntries(passedOn), ...settingsOf(env, paths), PYRO_RUNTIME_DIR: paths.runtime };
}
