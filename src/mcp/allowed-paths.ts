/**
 * Which places of the host a client may name. What it says is what a model wants, who may have read it in a guest's output; who started
 * the server has said what the model may have.
 */
import { lstat, realpath } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join, resolve, sep } from "node:path";
import { PyroError } from "../contract/error.ts";
import type { HostPath } from "../contract/operation.ts";

export class AllowedPaths {
  readonly #roots: readonly string[];

  private constructor(roots: readonly string[]) {
    this.#roots = roots;
  }

  /**
   * The working directory and these. A working directory that is the root or the user's home is none that was chosen: programs with windows
   * start servers there.
   * @throws PyroError invalid_argument for a directory that is not there
   */
  static async of(
    directories: readonly string[],
    { cwd = process.cwd(), home = homedir() } = {},
  ): Promise<AllowedPaths> {
    const [here, own, ...named] = await Promise.all([realPath(cwd), realPath(home), ...directories.map(realPath)]);
    const missing = named.findIndex((found) => found === undefined);
    if (missing !== -1) {
      throw new PyroError("invalid_argument", `there is no ${JSON.stringify(directories[missing])} to be allowed`);
    }
    const chosen = here === undefined || here === sep || here === own ? [] : [here];
    return new AllowedPaths([...chosen, ...named.filter((found) => found !== undefined)]);
  }

  /** The directories, without links; below them everything is allowed. */
  get roots(): readonly string[] {
    return this.#roots;
  }

  /**
   * The same input with its paths of the host as they are without links, which is what was checked.
   * @throws PyroError permission_denied for one that leads elsewhere
   */
  async checked(input: object, paths: Readonly<Record<string, HostPath>> = {}): Promise<object> {
    const given = { ...input } as Record<string, unknown>;
    for (const [field, { whole, absent }] of Object.entries(paths)) {
      const path = given[field] ?? absent;
      if (typeof path !== "string") continue;
      given[field] = await this.#checked(resolve(path), whole);
    }
    return given;
  }

  async #checked(path: string, whole: boolean): Promise<string> {
    const real = whole || path === sep ? await placeOf(path) : join(await placeOf(dirname(path)), basename(path));
    const root = this.#roots.find((each) => real === each || real.startsWith(each === sep ? sep : `${each}${sep}`));
    const below = root === undefined ? "" : real.slice(root.length);
    // What is made takes the place of what is there: not of the directory itself, and not of a hook that git would run.
    const isHook = below.toLowerCase().split(sep).includes(".git");
    if (root !== undefined && (whole || (below !== "" && !isHook))) return real;
    if (root !== undefined) {
      throw new PyroError(
        "permission_denied",
        `${path} is not allowed: neither ${root} itself nor a .git is replaced`,
        {
          remedy: "name another path below it",
        },
      );
    }
    const where = this.#roots.length === 0 ? "no place of this host" : `only what is below ${this.#roots.join(", ")}`;
    throw new PyroError("permission_denied", `${path} is not allowed: ${where} may be named here`, {
      remedy: "name a path there, or have the server started with `pyro mcp serve --allow-path DIRECTORY`",
      ...(real === path ? {} : { evidence: { leads_to: real } }),
    });
  }
}

/** Where a path leads, whose last parts need not be there. @throws PyroError permission_denied */
async function placeOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (failure) {
    if ((failure as NodeJS.ErrnoException).code !== "ENOENT" || path === dirname(path)) throw unknown(path, failure);
  }
  // A link to what is not there would be followed by whoever makes it.
  if (await isThere(path)) throw unknown(path, "it is a link that leads nowhere");
  return join(await placeOf(dirname(path)), basename(path));
}

async function isThere(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}

const unknown = (path: string, cause: unknown): PyroError =>
  new PyroError("permission_denied", `where ${path} leads cannot be seen`, { cause });

async function realPath(path: string): Promise<string | undefined> {
  return await realpath(path).catch(() => undefined);
}
