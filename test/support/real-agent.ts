/** The real agent on a Unix socket of this host, without a guest: agent/examples/serve_unix.rs. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { openGuestLink, type GuestLink } from "../../src/guest/link.ts";

/** Made by `npm test` before the stage `agent` (scripts/build/programs.mjs). */
const PROGRAM = join(process.cwd(), "target", "x86_64-unknown-linux-gnu", "release", "examples", "serve_unix");

const SOCKET_NAME = "agent.sock";

export const LINK_DEADLINE_MS = 10_000;

export interface RealAgent {
  readonly child: ChildProcess;
  /** A new connection to it. */
  connect(): Promise<Socket>;
  /** A new connection, greeted. */
  link(): Promise<GuestLink>;
  /** Ends it and waits until it has. */
  stop(): Promise<void>;
}

/** Starts an agent with its socket in `directory`; with `workspace` it counts as configured. */
export async function startAgent(directory: string, workspace?: string): Promise<RealAgent> {
  const path = join(directory, SOCKET_NAME);
  return await serve(PROGRAM, workspace === undefined ? [path] : [path, workspace], path, "inherit");
}

/**
 * Starts an agent that may be killed at any time: it makes no control groups, which would stay on the host. It says so on
 * its standard error, which is not shown.
 */
export async function startMortalAgent(directory: string): Promise<RealAgent> {
  // Only root can make them, and only with this capability.
  const path = join(directory, SOCKET_NAME);
  if (process.getuid?.() !== 0) return await serve(PROGRAM, [path], path, "ignore");
  return await serve("setpriv", ["--bounding-set=-sys_admin", "--", PROGRAM, path], path, "ignore");
}

/** Runs `file`, which serves an agent on the socket `path`. */
async function serve(
  file: string,
  words: readonly string[],
  path: string,
  stderr: "inherit" | "ignore",
): Promise<RealAgent> {
  const child = spawn(file, words, { stdio: ["ignore", "pipe", stderr] });
  const exited = once(child, "exit");
  exited.catch(() => undefined);
  const [line] = (await Promise.race([once(child.stdout, "data"), exited])) as [unknown];
  assert.equal(String(line), "listening\n", `${PROGRAM} did not start`);
  const open = async (): Promise<Socket> => {
    const socket = connect(path);
    await once(socket, "connect");
    socket.on("error", () => socket.destroy());
    return socket;
  };
  return {
    child,
    connect: open,
    link: async () => await openGuestLink(await open(), LINK_DEADLINE_MS),
    stop: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
