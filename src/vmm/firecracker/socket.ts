/** Sockets in a directory that a VMM may write to. */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { PyroError } from "../../contract/error.ts";
import { Scope } from "../../host/scope.ts";

/** open(2) on x86_64 (asm-generic/fcntl.h); Node has no name for it. */
const O_PATH = 0o10_000_000;

/**
 * Connects to the Unix socket at `path`, never to one that a link of that name leads to: a VMM that was taken over could
 * otherwise have its server speak to any socket of the host's, another machine's among them. An error after the connection
 * destroys it, and that is all.
 * @throws PyroError vmm_failed when something else lies there; what open(2) or connect(2) says
 */
export async function connectInside(path: string): Promise<Socket> {
  await using scope = new Scope();
  const found = openSync(path, O_PATH | constants.O_NOFOLLOW);
  scope.defer(() => closeSync(found));
  if (!fstatSync(found).isSocket()) throw new PyroError("vmm_failed", `${path} is not a socket`);
  // The very socket that was looked at, whatever has that name by now.
  return await new Promise((resolve, reject) => {
    const socket = connect(`/proc/self/fd/${found}`);
    socket.on("error", reject).once("connect", () => resolve(socket));
  });
}
