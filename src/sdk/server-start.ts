/** Starts the server: one for all clients of a user, whoever of them comes first. */
import type { ChildProcess } from "node:child_process";
import { existsSync, watch } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PyroError, type SerializedError } from "../contract/error.ts";
import { READY_FD } from "../contract/wire.ts";
import { packageFile } from "../host/package-files.ts";
import { type HostPaths, serverLockPath, serverLogPath, serverSocketPath } from "../host/paths.ts";
import { claimPrivateDirectory } from "../host/private-directory.ts";
import { startFailure, startProgram } from "../host/process.ts";
import { Tail } from "../host/tail.ts";
import { serverEnvironment } from "./server-environment.ts";

/** From the launcher's start to the server's word; it may have to end what an earlier server left. */
const START_DEADLINE_MS = 30_000;
/** The launcher's exit status when another process holds the lock (EX_TEMPFAIL of sysexits.h). */
const LOCK_BUSY_STATUS = 75;
/** How long a start that lost waits before it looks again: that a lock was let go is no event one can watch. */
const LOST_RACE_LOOK_MS = 100;
const EVIDENCE_BYTES_MAX = 4096;

export interface ServerProgram {
  readonly paths: HostPaths;
  readonly env: NodeJS.ProcessEnv;
  /** The server's main module; undefined: the one beside this one. */
  readonly entry: string | undefined;
}

/** The server's main module, beside this one: bundled or compiled. */
function serverEntry(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let directory = start; directory !== dirname(directory); directory = dirname(directory)) {
    const found = ["server-bin.cjs", "server-bin.js"].map((name) => join(directory, name)).find(existsSync);
    if (found !== undefined) return found;
  }
  throw new PyroError("dependency_missing", "the server's program is not beside this one", {
    remedy: "install pyro again",
  });
}

/**
 * Starts a server unless one is being started or stopped by somebody else.
 * @returns "ready" when ours answers; "busy" when another holds the lock: then there is a server soon, or none any more
 */
export async function startServer(program: ServerProgram): Promise<"ready" | "busy"> {
  const { paths } = program;
  claimPrivateDirectory(paths.runtime, "PYRO_RUNTIME_DIR");
  claimPrivateDirectory(paths.state, "PYRO_STATE_DIR");
  const launcher = packageFile("launcher", program.env).path;
  const child = startProgram(launcher, launcherArguments(program), {
    env: serverEnvironment(program.env, paths),
    cwd: "/",
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  try {
    return await startOutcome(child, { launcher, paths });
  } finally {
    // From here on it is nobody's child: neither its pipes nor its end keep this process.
    child.stderr?.destroy();
    child.stdio[READY_FD]?.destroy();
    child.removeAllListeners();
    child.unref();
  }
}

/** Waits until the socket appears, or it is worth trying again, whichever is first. */
export async function waitForSocket(paths: HostPaths): Promise<void> {
  await new Promise<void>((resolve) => {
    const watcher = watch(paths.runtime, { persistent: false });
    const timer = setTimeout(() => settle(), LOST_RACE_LOOK_MS);
    const settle = (): void => {
      clearTimeout(timer);
      watcher.close();
      resolve();
    };
    watcher.on("change", () => {
      if (existsSync(serverSocketPath(paths))) settle();
    });
    watcher.on("error", settle);
  });
}

function launcherArguments({ paths, entry }: ServerProgram): string[] {
  const log = serverLogPath(paths);
  const options = [
    ["--lock", serverLockPath(paths)],
    ["--new-session"],
    // Not --no-new-privileges: without root an environment is built with newuidmap(1), which is setuid. VMMs get it.
    ["--rlimit", "core=0"],
    ["--umask", "077"],
    ["--stdout", log],
    ["--stderr", log],
    ["--keep-fd", String(READY_FD)],
  ];
  return [...options.flat(), "--", process.execPath, entry ?? serverEntry()];
}

async function startOutcome(
  child: ChildProcess,
  { launcher, paths }: { launcher: string; paths: HostPaths },
): Promise<"ready" | "busy"> {
  const words = new Tail(EVIDENCE_BYTES_MAX);
  child.stderr?.on("data", (piece: Buffer) => words.push(piece));
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<"ready" | "busy">((resolve, reject) => {
      const fail = (message: string, evidence: Record<string, string | number>): void => {
        reject(
          new PyroError("server_unavailable", message, {
            evidence: { ...evidence, log: serverLogPath(paths) },
            remedy: `look into ${serverLogPath(paths)}, or run \`pyro doctor\``,
          }),
        );
      };
      timer = setTimeout(() => {
        child.kill("SIGKILL");
        fail(`the pyro server was not ready within ${START_DEADLINE_MS} ms`, {});
      }, START_DEADLINE_MS);
      child.once("error", (cause) => reject(startFailure(launcher, cause)));
      child.once("exit", (code, signal) => {
        if (code === LOCK_BUSY_STATUS) resolve("busy");
        else fail("the pyro server ended while it started", { exit: code ?? String(signal), stderr: words.text() });
      });
      readyWord(child, (failure) =>
        failure === undefined ? resolve("ready") : reject(PyroError.deserialize(failure)),
      );
    });
  } finally {
    clearTimeout(timer);
  }
}

/** Calls `onWord` with the one line that the server says: nothing, or why it cannot serve. */
function readyWord(child: ChildProcess, onWord: (failure: SerializedError | undefined) => void): void {
  let text = "";
  child.stdio[READY_FD]?.on("data", (piece: Buffer) => {
    text += piece.toString();
    if (!text.endsWith("\n")) return;
    const word = JSON.parse(text) as { ready: true } | { error: SerializedError };
    onWord("error" in word ? word.error : undefined);
  });
}
