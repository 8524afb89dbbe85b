/** The directories of one run of the suite, so that it neither sees nor touches the user's own machines. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CACHE } from "../project.mjs";

/** Makes them and gives the variables that point pyro at them. Environments stay between runs: they take long to build. */
export function makeSandbox() {
  // In /tmp whatever TMPDIR says: a Unix socket's path has at most 107 bytes (unix(7)).
  const root = mkdtempSync("/tmp/pyro-suite-");
  const cache = join(CACHE, "pyro");
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  const env = {
    PYRO_CACHE_DIR: cache,
    PYRO_STATE_DIR: join(root, "state"),
    PYRO_RUNTIME_DIR: join(root, "run"),
    PYRO_CONFIG_DIR: join(root, "config"),
  };
  return { root, env, remove: () => rmSync(root, { recursive: true, force: true }) };
}
