import { type HostPaths } from "../host/paths.ts";
import { installFirecracker } from "../vmm/firecracker/install.ts";

/** Installs the pinned Firecracker from upstream, or from PYRO_FIRECRACKER_MIRROR; its path. */
export async function fixFirecracker(options: {
  paths: HostPaths;
  env: NodeJS.ProcessEnv;
  signal?: AbortSignal;
}): Promise<string> {
  const { paths, env, signal } = options;
  const mirror = env["PYRO_FIRECRACKER_MIRROR"];
  const { path } = await installFirecracker({ paths, mirror, ...(signal === undefined ? {} : { signal }) });
  return path;
}
