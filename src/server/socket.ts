/** The server's socket: private to the user, and there only when somebody listens on it. */
import { lstatSync, renameSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { once } from "node:events";
import { PyroError } from "../contract/error.ts";
import { type HostPaths, makePrivateDirectory, serverSocketPath } from "../host/paths.ts";

/** sun_path has 108 bytes with its terminating zero (unix(7)). */
const SOCKET_PATH_BYTES_MAX = 107;

/**
 * Makes the runtime directory, or checks the one that is there: a directory of ours, closed to others, no symlink.
 *
 * In /tmp somebody else may have made it first, to be the server that we talk to.
 */
export function claimRuntimeDirectory(paths: HostPaths): void {
  makePrivateDirectory(paths.runtime);
  const found = lstatSync(paths.runtime);
  const mine = found.isDirectory() && found.uid === process.getuid?.();
  if (mine && (found.mode & 0o077) === 0) return;
  throw new PyroError("permission_denied", `${paths.runtime} is not a private directory of yours`, {
    evidence: { owner_uid: found.uid, mode: (found.mode & 0o7777).toString(8), directory: found.isDirectory() },
    remedy: mine ? `run \`chmod 700 ${paths.runtime}\`` : "set PYRO_RUNTIME_DIR to a directory of your own",
  });
}

/** Listens under a name of its own and renames that into place, so that whoever finds the socket is answered. */
export async function listenOnSocket(server: Server, paths: HostPaths): Promise<void> {
  const path = serverSocketPath(paths);
  const temporary = `${path}.${process.pid}`;
  if (Buffer.byteLength(temporary) > SOCKET_PATH_BYTES_MAX) {
    throw new PyroError("invalid_argument", `the socket's path is too long: ${path}`, {
      remedy: `set PYRO_RUNTIME_DIR to a directory whose path is short: a socket's has at most ${SOCKET_PATH_BYTES_MAX} bytes`,
    });
  }
  rmSync(temporary, { force: true });
  server.listen(temporary);
  await once(server, "listening");
  renameSync(temporary, path);
}

/** Takes the socket away: the next client starts another server. Only while this server holds the lock. */
export function removeSocket(paths: HostPaths): void {
  rmSync(serverSocketPath(paths), { force: true });
}
