/**
 * The files that are shipped beside pyro's own code: the guest agent, the launcher, the reader of seeds, and the manifest that says what they
 * must be. Found from where this module lies, so the same code works in dist/ and compiled for the tests.
 */
import { createHash } from "node:crypto";
import { constants, existsSync } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { PyroError } from "../contract/error.ts";

export type PackageProgram = "agent" | "launcher" | "seeder";

const PROGRAMS = {
  agent: { name: "guest/pyro-agent", variable: "PYRO_AGENT_PATH" },
  seeder: { name: "host/pyro-seed", variable: "PYRO_SEEDER_PATH" },
  launcher: { name: "host/pyro-launch", variable: "PYRO_LAUNCHER_PATH" },
} as const satisfies Record<PackageProgram, { name: string; variable: string }>;

export interface PackageFile {
  readonly path: string;
  /** Its name in the manifest. */
  readonly name: string;
  /** The variable that names it, when one does: then it is the user's own and the manifest says nothing of it. */
  readonly variable: string | null;
}

/** Where a program of the package lies; does not look whether it is there. */
export function packageFile(program: PackageProgram, env: NodeJS.ProcessEnv = process.env): PackageFile {
  const { name, variable } = PROGRAMS[program];
  const own = env[variable];
  if (own !== undefined && own !== "") return { path: resolve(own), name, variable };
  return { path: join(distDirectory(), name), name, variable: null };
}

/**
 * Makes sure that a program is there, may be executed, and is what the manifest says.
 * @throws PyroError dependency_missing when it is not there, permission_denied, artifact_corrupt
 */
export async function verifyPackageFile(
  program: PackageProgram,
  env: NodeJS.ProcessEnv = process.env,
): Promise<PackageFile> {
  const file = packageFile(program, env);
  const remedy = file.variable === null ? repairCommand() : `set ${file.variable} to a program, or unset it`;
  const bytes = await readFile(file.path).catch((cause: unknown) => {
    throw new PyroError("dependency_missing", `pyro's own file ${file.path} cannot be read`, { cause, remedy });
  });
  await access(file.path, constants.X_OK).catch((cause: unknown) => {
    throw new PyroError("permission_denied", `pyro's own file ${file.path} may not be executed`, { cause, remedy });
  });
  if (file.variable !== null) return file;
  const expected = (await readManifest(remedy)).get(file.name);
  if (expected !== createHash("sha256").update(bytes).digest("hex")) {
    throw new PyroError("artifact_corrupt", `pyro's own file ${file.path} is not what was shipped`, { remedy });
  }
  return file;
}

/** SHA-256 of a program as it was shipped; undefined for one that the environment names. @throws PyroError artifact_corrupt */
export async function shippedDigest(
  program: PackageProgram,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string | undefined> {
  const { name, variable } = packageFile(program, env);
  return variable === null ? (await readManifest(repairCommand())).get(name) : undefined;
}

/** The command that puts the package's files right: a checkout is built, an installed package installed again. */
export function repairCommand(): string {
  const root = packageRoot();
  return existsSync(join(root, "scripts", "build.mjs"))
    ? `npm --prefix '${root}' run build`
    : "npm install --global pyro-workspaces";
}

const distDirectory = (): string => join(packageRoot(), "dist");

/** The nearest folder above this module with a package.json: the checkout, or the installed package. */
function packageRoot(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let directory = start; directory !== dirname(directory); directory = dirname(directory)) {
    if (existsSync(join(directory, "package.json"))) return directory;
  }
  // Copied out of its package: dist/ is then taken to be where the code is.
  return dirname(start);
}

/** SHA-256 by the file's name in dist/. */
async function readManifest(remedy: string): Promise<Map<string, string>> {
  const path = join(distDirectory(), "manifest.json");
  try {
    const { files } = JSON.parse(await readFile(path, "utf8")) as { files: { path: string; sha256: string }[] };
    return new Map(files.map((file) => [file.path, file.sha256]));
  } catch (cause) {
    throw new PyroError("artifact_corrupt", `pyro's own file ${path} cannot be read`, { cause, remedy });
  }
}
