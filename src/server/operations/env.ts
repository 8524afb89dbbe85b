import type { ServerContext } from "../context.ts";
import type { Handlers } from "../handler.ts";

export function environmentHandlers({ environments, machines, workspaces }: ServerContext): Handlers["env"] {
  const inUse = async (): Promise<ReadonlySet<string>> =>
    new Set([...machines.environmentsInUse(), ...(await workspaces.environmentsInUse())]);
  return {
    list: async () => {
      const { catalogVersion, environments: found } = await environments.list();
      return { catalog_version: catalogVersion, environments: found };
    },
    pull: async ({ environment, force }, { signal, emit }) => {
      await machines.pull(environment, { force, signal, onProgress: emit });
      await environments.dropReplaced(await inUse());
      return await environments.inspect(environment, { verify: false });
    },
    inspect: async ({ environment, verify }) => await environments.inspect(environment, { verify }),
    prune: async ({ all }) => {
      const pruned = await environments.prune({ all, inUse: await inUse() });
      const seeds = await workspaces.pruneSeeds();
      return {
        deleted_environment_dirs: [...pruned.deletedDirectories],
        count: pruned.deletedDirectories.length,
        deleted_seeds: seeds.removed,
        freed_bytes: pruned.freedBytes + seeds.freedBytes,
        kept_in_use: [...pruned.keptInUse],
      };
    },
  };
}
