import { rename, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { basename, dirname } from "node:path";
import { PyroError } from "../contract/error.ts";
import { withDeadline } from "../host/deadline.ts";

/** unix(7): sun_path with its NUL has 108 bytes. Node would cut a longer path off without a word. */
const PATH_BYTES_MAX = 107;

interface Taker {
  resolve(socket: Socket): void;
  reject(reason: PyroError): void;
}

/**
 * A Unix socket on which one peer connects to us, again after each close. Its newest connection waits, unread, until
 * somebody takes it.
 */
export class SocketSlot {
  readonly path: string;
  readonly #server: Server;
  readonly #onConnection: ((socket: Socket) => void) | undefined;
  #waitingConnection: Socket | undefined;
  #taker: Taker | undefined;
  #closed = false;

  private constructor(path: string, server: Server, onConnection: ((socket: Socket) => void) | undefined) {
    this.path = path;
    this.#server = server;
    this.#onConnection = onConnection;
    server.on("connection", (socket) => this.#accept(socket));
    // What cannot be accepted (no descriptor left) is missed by its taker's deadline; the peer tries again.
    server.on("error", () => undefined);
  }

  /**
   * Listens at `path`, in the place of a socket that a server before has left there. `onConnection` gets every connection at
   * once, and there is nothing to take.
   * @throws PyroError invalid_state when the path is too long
   */
  static async listen(path: string, onConnection?: (socket: Socket) => void): Promise<SocketSlot> {
    if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
      throw new PyroError("invalid_state", `a socket's path is longer than ${PATH_BYTES_MAX} bytes: ${path}`, {
        remedy: "set PYRO_RUNTIME_DIR to a directory with a shorter path",
      });
    }
    const server = createServer({ pauseOnConnect: true });
    // Bound outside of the VMM's directory, and moved in whole: a VMM that runs already could lead the change of mode, which
    // goes by the name, to any file of the host's.
    const outside = `${dirname(path)}.${basename(path)}`;
    await rm(outside, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      // The VMM may be another user than this process; the directory lets nobody else in.
      server.listen({ path: outside, writableAll: true, readableAll: true }, () => {
        server.off("error", reject);
        resolve();
      });
    });
    await rename(outside, path);
    return new SocketSlot(path, server, onConnection);
  }

  /**
   * Takes the peer's connection, waiting for it if it is not there.
   * @throws PyroError guest_unreachable at the deadline, and at once when the slot is closed
   */
  async take(deadlineMs: number): Promise<Socket> {
    const connection = this.#waitingConnection;
    this.#waitingConnection = undefined;
    if (connection !== undefined && !connection.destroyed) return connection;
    if (this.#closed) throw slotClosed();
    if (this.#taker !== undefined) throw new PyroError("internal", `two takers of ${this.path}`);
    const arrival = new Promise<Socket>((resolve, reject) => {
      this.#taker = { resolve, reject };
    });
    try {
      return await withDeadline(
        arrival,
        deadlineMs,
        () => new PyroError("guest_unreachable", `the VMM did not connect within ${deadlineMs} ms`),
      );
    } finally {
      this.#taker = undefined;
    }
  }

  /** Stops listening and removes the socket; a connection that was taken stays open. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#taker?.reject(slotClosed());
    this.#waitingConnection?.destroy();
    this.#server.close();
    await rm(this.path, { force: true });
  }

  #accept(socket: Socket): void {
    // An error closes the socket; whoever took it has listeners of its own.
    socket.on("error", () => socket.destroy());
    if (this.#closed) {
      socket.destroy();
    } else if (this.#onConnection !== undefined) {
      this.#onConnection(socket);
    } else if (this.#taker !== undefined) {
      this.#taker.resolve(socket);
      this.#taker = undefined;
    } else {
      this.#waitingConnection?.destroy();
      this.#waitingConnection = socket;
    }
  }
}

const slotClosed = (): PyroError => new PyroError("guest_unreachable", "the VMM's socket was closed");
