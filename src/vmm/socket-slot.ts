import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { PyroError } from "../contract/error.ts";
import { withDeadline } from "../host/deadline.ts";

/**
 * A Unix socket on which one peer connects to us, again after each close. Its newest connection waits, unread, until
 * somebody takes it.
 */
export class SocketSlot {
  readonly path: string;
  readonly #server: Server;
  #waitingConnection: Socket | undefined;
  #taker: ((socket: Socket) => void) | undefined;

  private constructor(path: string, server: Server) {
    this.path = path;
    this.#server = server;
    server.on("connection", (socket) => this.#accept(socket));
  }

  /** Binds `path`, which must be free and at most 107 bytes long (unix(7)). */
  static async listen(path: string): Promise<SocketSlot> {
    const server = createServer({ pauseOnConnect: true });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, () => {
        server.off("error", reject);
        resolve();
      });
    });
    return new SocketSlot(path, server);
  }

  /** Takes the peer's connection, waiting for it if it is not there. */
  async take(deadlineMs: number): Promise<Socket> {
    const connection = this.#waitingConnection;
    if (connection !== undefined && !connection.destroyed) {
      this.#waitingConnection = undefined;
      return connection;
    }
    if (this.#taker !== undefined) throw new PyroError("internal", `two takers of ${this.path}`);
    const arrival = new Promise<Socket>((resolve) => {
      this.#taker = resolve;
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
    this.#waitingConnection?.destroy();
    this.#server.close();
    await rm(this.path, { force: true });
  }

  #accept(socket: Socket): void {
    // An error closes the socket; whoever took it has listeners of its own.
    socket.on("error", () => socket.destroy());
    if (this.#taker !== undefined) {
      this.#taker(socket);
      this.#taker = undefined;
      return;
    }
    this.#waitingConnection?.destroy();
    this.#waitingConnection = socket;
  }
}
