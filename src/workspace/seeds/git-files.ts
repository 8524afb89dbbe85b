/** Which files of a directory git does not ignore, as git itself says. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { Scope } from "../../host/scope.ts";
import { ended, runProgram, startProgram } from "../../host/process.ts";

/** Going through a large repository on a slow disk. */
const LIST_DEADLINE_MS = 600_000;
const INIT_DEADLINE_MS = 30_000;
/** Names of several million files. */
const LIST_BYTES_MAX = 512 * 1024 ** 2;
/** What git exits with where there is no repository. */
const FATAL = 128;

/**
 * A repository's configuration may name programs that git runs (fsmonitor, transports of a partial clone): it may be
 * anybody's. What is given here goes before it, and no transport is allowed.
 */
const HARMLESS = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*"];
const environment = (): NodeJS.ProcessEnv => ({
  PATH: process.env["PATH"] ?? "",
  LC_ALL: "C",
  HOME: "/nonexistent",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_ALLOW_PROTOCOL: "none",
  GIT_NO_LAZY_FETCH: "1",
  GIT_OPTIONAL_LOCKS: "0",
  GIT_TERMINAL_PROMPT: "0",
});

/**
 * Paths from the directory, each with a NUL behind it: what is tracked, and what is neither tracked nor ignored. A directory that
 * is no repository has its `.gitignore` files obeyed in the same way.
 * @throws PyroError dependency_missing without git, invalid_argument when git refuses the directory
 */
export async function notIgnored(directory: string, signal: AbortSignal): Promise<Buffer> {
  const files = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const own = await listed(["-C", directory, ...HARMLESS, ...files], signal);
  // The repository itself: without it the files would be without their history.
  if (own.code === 0) return Buffer.concat([own.paths, Buffer.from(".git\0")]);
  if (own.code !== FATAL) throw refused(directory, own.code);
  await using scope = new Scope();
  const empty = await mkdtemp(join(tmpdir(), "pyro-ignore-"));
  scope.defer(async () => await rm(empty, { recursive: true, force: true }));
  const init = ["init", "--quiet", "--bare", empty];
  await runProgram("git", init, { deadlineMs: INIT_DEADLINE_MS, env: environment(), signal });
  const place = [`--git-dir=${empty}`, `--work-tree=${directory}`, "-C", directory, "-c", "core.bare=false"];
  const other = await listed([...place, ...HARMLESS, "ls-files", "-z", "--others", "--exclude-standard"], signal);
  if (other.code !== 0) throw refused(directory, other.code);
  return other.paths;
}

async function listed(words: readonly string[], signal: AbortSignal): Promise<{ code: number | null; paths: Buffer }> {
  const child = startProgram("git", words, { env: environment(), cwd: "/", stdio: ["ignore", "pipe", "ignore"] });
  const pieces: Buffer[] = [];
  let bytes = 0;
  child.stdout?.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (bytes <= LIST_BYTES_MAX) pieces.push(piece);
    else child.kill("SIGKILL");
  });
  const { code } = await ended(child, "git", { deadlineMs: LIST_DEADLINE_MS, signal });
  return { code, paths: Buffer.concat(pieces) };
}

function refused(directory: string, code: number | null): PyroError {
  return new PyroError("invalid_argument", `git does not say which files of ${directory} are ignored`, {
    evidence: { exit: code ?? "signal" },
    remedy: `see what it says: git -C '${directory}' ls-files; or do it without leaving out what is ignored`,
  });
}
