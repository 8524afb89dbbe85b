/** The environments of this host, as the handlers need them. */
import { VERSION } from "../contract/version.ts";
import { dropReplaced, pruneEnvironments } from "../environment/prune.ts";
import { inspectEnvironment, listEnvironments } from "../environment/store.ts";
import type { HostPaths } from "../host/paths.ts";
import type { Environments } from "./context.ts";

export function hostEnvironments(paths: HostPaths): Environments {
  return {
    // The catalog is built in, so that its version is pyro's.
    list: async () => ({ catalogVersion: VERSION, environments: await listEnvironments(paths) }),
    inspect: async (name, { verify }) => await inspectEnvironment(name, paths, { verify }),
    dropReplaced: async (inUse) => {
      await dropReplaced({ paths, inUse: (path) => inUse.has(path) });
    },
    prune: async ({ all, inUse }) => await pruneEnvironments({ paths, all, inUse: (path) => inUse.has(path) }),
  };
}
