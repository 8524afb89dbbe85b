/** A connection to the guest agent: gRPC over one greeted byte stream. */
import type { Duplex } from "node:stream";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type ErrorCode, PyroError } from "../contract/error.ts";
import { Agent } from "./generated/pyro/agent/v1/agent_pb.ts";
import { greet } from "./greeting.ts";
import { AUTHORITY, GuestSession } from "./session.ts";

/** Largest message we take; the agent sends at most 1 MiB of output in one. */
const MESSAGE_BYTES_MAX = 2 * 1024 * 1024;
export type AgentClient = Client<typeof Agent>;

export interface GuestLink {
  readonly agent: AgentClient;
  /** Ends the connection; running commands go on. */
  close(): void;
}

/**
 * Greets the agent on `stream` and starts gRPC on it.
 * @throws PyroError guest_unreachable, protocol_mismatch
 */
export async function openGuestLink(stream: Duplex, deadlineMs: number): Promise<GuestLink> {
  try {
    await greet(stream, deadlineMs);
  } catch (failure) {
    stream.destroy();
    throw failure;
  }
  const session = new GuestSession(stream);
  await session.settled;
  const transport = createGrpcTransport({
    baseUrl: AUTHORITY,
    sessionManager: session,
    readMaxBytes: MESSAGE_BYTES_MAX,
  });
  return {
    agent: createClient(Agent, transport),
    close: () => {
      session.close();
      stream.destroy();
    },
  };
}

const CODES: Partial<Record<Code, ErrorCode>> = {
  [Code.InvalidArgument]: "invalid_argument",
  [Code.NotFound]: "not_found",
  [Code.FailedPrecondition]: "invalid_state",
  [Code.ResourceExhausted]: "resource_exhausted",
  [Code.DeadlineExceeded]: "guest_unreachable",
  [Code.Unavailable]: "guest_unreachable",
  // Who cancels a call of its own knows; otherwise it is what HTTP/2 calls a connection that has gone.
  [Code.Canceled]: "guest_unreachable",
  [Code.Aborted]: "guest_unreachable",
};

/** What a failed call to the agent means. The only place that maps gRPC codes. */
export function guestError(failure: unknown, what: string): PyroError {
  if (PyroError.is(failure)) return failure;
  const error = ConnectError.from(failure);
  if (PyroError.is(error.cause)) return error.cause;
  return new PyroError(CODES[error.code] ?? "guest_failed", `${what}: ${error.rawMessage}`, {
    cause: error.cause ?? error,
  });
}
