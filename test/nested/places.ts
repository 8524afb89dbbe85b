/** Where the nested machine's files lie on the host: in the checkout's cache, and what must be short-lived in a run's own directory. */
import { join } from "node:path";
import { type HostPaths, hostPaths } from "../../src/host/paths.ts";

/** What may be deleted at any time and makes the next run faster. */
export const NESTED_CACHE = join(process.cwd(), ".cache", "nested");

/** The host's own pyro directories; environments for the guests inside are taken from there. */
export const hostDirectories = hostPaths();

/** A cache of its own for the machine's image: `env prune` in other tests knows nothing of it. */
export const imageDirectories: HostPaths = {
  ...hostDirectories,
  cache: join(NESTED_CACHE, "pyro"),
  config: join(NESTED_CACHE, "config"),
};

/** Places inside the machine. */
export const INSIDE = {
  /** The payload: this checkout as it was built, the VMMs, Node. Read-only. */
  payload: "/payload",
  /** The writable disk. */
  disk: "/disk",
  cache: "/disk/pyro/cache",
  state: "/disk/pyro/state",
  /** On a tmpfs, as on any host: gone when the machine is. */
  runtime: "/run/pyro",
} as const;
