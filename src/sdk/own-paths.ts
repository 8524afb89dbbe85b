/** Paths of the caller's: the server has another working directory, so it is given absolute ones. */
import { resolve } from "node:path";
import type { Methods } from "./operation-types.ts";

type Create = Methods["workspace"]["create"];
type Pull = Methods["workspace"]["pull"];

/** The same method, which takes a path that is meant from the caller's working directory. */
export function withAbsolutePaths(create: Create): Create {
  return async (input, options) => {
    const path = input.seed_path;
    // An empty one is for the server to refuse.
    const absolute = path === undefined || path === "" ? {} : { seed_path: resolve(path) };
    return await create({ ...input, ...absolute }, options);
  };
}

/** The same method, whose repository is by default the one that the caller's working directory is in. */
export function withRepository(pull: Pull): Pull {
  return async (input, options) => await pull({ ...input, repository: resolve(input.repository ?? ".") }, options);
}
