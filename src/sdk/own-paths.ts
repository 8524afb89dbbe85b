/** Paths of the caller's: the server has another working directory, so it is given absolute ones. */
import { resolve } from "node:path";
import type { Methods } from "./operation-types.ts";

type Pull = Methods["workspace"]["pull"];

/** The same method, which takes the path in one of its fields as it is meant from the caller's working directory. */
export function withAbsolutePath<Input extends object, Rest extends unknown[], Result>(
  method: (input: Input, ...rest: Rest) => Promise<Result>,
  field: keyof Input,
): (input: Input, ...rest: Rest) => Promise<Result> {
  return async (input, ...rest) => {
    const path = input[field];
    // An empty one is for the server to refuse.
    const absolute = typeof path === "string" && path !== "" ? { [field]: resolve(path) } : {};
    return await method({ ...input, ...absolute }, ...rest);
  };
}

/** The same method, whose repository is by default the one that the caller's working directory is in. */
export function withRepository(pull: Pull): Pull {
  return async (input, options) => await pull({ ...input, repository: resolve(input.repository ?? ".") }, options);
}
