/** The server's socket: private to the user, and there only when somebody listens on it. */
import { renameSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { once } from "node:events";
import { PyroError } from "../contract/error.ts";
import { type HostPaths, serverSocketPath } from "../host/paths.ts";

/** sun_path has 108 bytes with its terminating zero (unix(7)). */
const SOCKET_PATH_BYTES_MAX = 107;

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
