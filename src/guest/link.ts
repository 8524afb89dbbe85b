/** A connection to the guest agent: gRPC over one greeted byte stream. */
import type { Duplex } from "node:stream";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type ErrorCode, PyroError } from "../contract/error.ts";
import { Agent } from "./generated/pyro/agent/v1/agent_pb.ts";
import { greet } from "./greeting.ts";

/** Never resolved: HTTP/2 needs an authority (RFC 9113, 8.3.1). */
const AUTHORITY = "http://guest";
/** Bytes of one stream the agent may send before we have read them; bounds our memory per command. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
/** Fewer, larger writes to the port: its cost is per write (lab: 7-10 MB/s at 4 KiB, 28-93 MB/s at 64 KiB and more). */
const FRAME_BYTES_MAX = 256 * 1024;
/** Largest message we take; the agent sends at most 1 MiB of output in one. */
const MESSAGE_BYTES_MAX = 2 * 1024 * 1024;
/** A guest that answers no ping for so long is wedged; generous, for a vCPU may be starved on a loaded host. */
const PING_INTERVAL_MS = 15_000;
const PING_DEADLINE_MS = 45_000;

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
  let used = false;
  const sessionManager = new Http2SessionManager(
    AUTHORITY,
    {
      pingIntervalMs: PING_INTERVAL_MS,
      pingTimeoutMs: PING_DEADLINE_MS,
      // A machine may be held for hours between two commands, and its link cannot be opened again.
      idleConnectionTimeoutMs: Number.POSITIVE_INFINITY,
    },
    {
      settings: { initialWindowSize: STREAM_WINDOW_BYTES, maxFrameSize: FRAME_BYTES_MAX, enablePush: false },
      // One stream, one session: a second session would need a new greeting.
      createConnection: () => {
        if (used) throw new PyroError("guest_unreachable", "the connection to the guest agent was lost");
        used = true;
        return stream;
      },
    },
  );
  const transport = createGrpcTransport({ baseUrl: AUTHORITY, sessionManager, readMaxBytes: MESSAGE_BYTES_MAX });
  return {
    agent: createClient(Agent, transport),
    close: () => {
      sessionManager.abort();
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
