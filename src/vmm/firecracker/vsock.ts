/**
 * Connections to a guest's vsock ports, by the Unix socket that Firecracker listens on (Firecracker, docs/vsock.md):
 * `CONNECT <port>\n` is answered by `OK <n>\n` when the guest has accepted, and by the connection's end when it has not.
 */
import type { Socket } from "node:net";
import { PyroError } from "../../contract/error.ts";
import type { Channel } from "../driver.ts";
import { connectInside } from "./socket.ts";

/** Ports of the guest agent (docs/reference/guest-protocol.md). */
export const CHANNEL_PORTS = { control: 1024, bulk: 1025 } as const satisfies Record<Channel, number>;
/** While a connection to it lives, the agent listens on no other port. */
export const HOLD_PORT = 1026;

/** "OK 1073741824" and what is around it. */
const ANSWER_BYTES_MAX = 32;
/**
 * The pause between calls to a port that nobody listens on is this part of the time that it has taken so far: each call takes time
 * from a guest that is about to listen, and much of it where a guest is slow.
 */
const PAUSE_PART = 0.25;
const PAUSE_MS_MIN = 1;
const PAUSE_MS_MAX = 16;

/**
 * Connects to `port`, again while the guest refuses: its agent is not there yet. Nothing of the caller's has been sent then.
 * @throws PyroError guest_unreachable at the deadline, vmm_failed when the socket is not Firecracker's
 */
export async function dialGuest(path: string, port: number, deadlineMs: number): Promise<Socket> {
  const begin = performance.now();
  const end = begin + deadlineMs;
  for (;;) {
    const socket = await dialOnce(path, port, Math.max(0, end - performance.now()));
    if (socket !== undefined) return socket;
    const now = performance.now();
    if (now >= end) throw unreachable(port, deadlineMs);
    const pauseMs = Math.min(Math.max(PAUSE_PART * (now - begin), PAUSE_MS_MIN), PAUSE_MS_MAX);
    await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs, end - now)));
  }
}

const unreachable = (port: number, deadlineMs: number): PyroError =>
  new PyroError(
    "guest_unreachable",
    `nobody in the guest answered on port ${port} within ${Math.round(deadlineMs)} ms`,
  );

const unusable = (cause: unknown): PyroError =>
  new PyroError("guest_unreachable", "the machine's vsock socket cannot be used", { cause });

/** One call; undefined when the guest refuses. */
async function dialOnce(path: string, port: number, deadlineMs: number): Promise<Socket | undefined> {
  const socket = await connectInside(path).catch((cause: unknown) => {
    if (PyroError.is(cause)) throw cause;
    throw unusable(cause);
  });
  if (socket.destroyed) return undefined;
  return await new Promise((resolve, reject) => {
    let heard = Buffer.alloc(0);
    const timer = setTimeout(() => finish(unreachable(port, deadlineMs)), deadlineMs);
    const onData = (chunk: Buffer): void => {
      heard = Buffer.concat([heard, chunk]);
      const end = heard.indexOf(10);
      if (end === -1 && heard.length <= ANSWER_BYTES_MAX) return;
      if (!/^OK \d+$/.test(heard.toString("latin1", 0, end))) {
        return finish(new PyroError("vmm_failed", "the vsock socket does not answer as Firecracker's does"));
      }
      socket.pause();
      if (heard.length > end + 1) socket.unshift(heard.subarray(end + 1));
      finish(socket);
    };
    const onEnd = (): void => finish(undefined);
    const onError = (cause: NodeJS.ErrnoException): void =>
      // Firecracker resets what it had not read yet.
      finish(cause.code === "ECONNRESET" || cause.code === "EPIPE" ? undefined : unusable(cause));
    const finish = (outcome: Socket | undefined | PyroError): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("end", onEnd).off("close", onEnd).off("error", onError);
      // Whoever gets the stream has listeners of its own; an error closes it.
      socket.on("error", () => socket.destroy());
      if (outcome !== socket) socket.destroy();
      if (PyroError.is(outcome)) reject(outcome);
      else resolve(outcome);
    };
    socket.on("data", onData).on("end", onEnd).on("close", onEnd).on("error", onError);
    socket.write(`CONNECT ${port}\n`);
  });
}

/**
 * Has the agent close its ports until the connection that is returned dies, as it does when a saved machine runs again.
 * @throws PyroError guest_unreachable
 */
export async function holdPorts(path: string, deadlineMs: number): Promise<Socket> {
  const socket = await dialGuest(path, HOLD_PORT, deadlineMs);
  await new Promise<void>((resolve, reject) => {
    let heard = "";
    const timer = setTimeout(() => finish(unreachable(HOLD_PORT, deadlineMs)), deadlineMs);
    const onData = (chunk: Buffer): void => {
      heard += chunk.toString("latin1");
      if (heard.startsWith("HELD\n")) finish();
      else if (!"HELD\n".startsWith(heard)) finish(new PyroError("guest_failed", "the agent does not hold its ports"));
    };
    const onClose = (): void => finish(new PyroError("guest_unreachable", "the agent did not hold its ports"));
    const finish = (failure?: PyroError): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("close", onClose);
      if (failure === undefined) return resolve();
      socket.destroy();
      reject(failure);
    };
    socket.on("data", onData).on("close", onClose).resume();
  });
  return socket;
}
