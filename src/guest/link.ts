/** A connection to the guest agent: gRPC over one greeted byte stream. */
import type { Duplex } from "node:stream";
import { type ErrorCode, PyroError } from "../contract/error.ts";
import { Agent } from "./generated/pyro/agent/v1/agent_pb.ts";
import { greet } from "./greeting.ts";
import { type GrpcClient, grpcClient } from "./grpc/client.ts";
import { GrpcCode, GrpcFailure } from "./grpc/failure.ts";
import { GuestSession } from "./session.ts";

export type AgentClient = GrpcClient<typeof Agent>;

export interface GuestLink {
  readonly agent: AgentClient;
  /** Ends the connection; running commands go on. */
  close(): void;
}

/**
 * Greets the agent on `stream` and starts gRPC on it. `pulseMs`: how often it is looked whether the agent is silent.
 * @throws PyroError guest_unreachable, protocol_mismatch
 */
export async function openGuestLink(stream: Duplex, deadlineMs: number, pulseMs?: number): Promise<GuestLink> {
  try {
    await greet(stream, deadlineMs);
  } catch (failure) {
    stream.destroy();
    throw failure;
  }
  const session = new GuestSession(stream, pulseMs);
  await session.settled;
  return {
    agent: grpcClient(Agent, session),
    close: () => {
      session.close();
      stream.destroy();
    },
  };
}

const CODES: Readonly<Record<number, ErrorCode>> = {
  [GrpcCode.InvalidArgument]: "invalid_argument",
  [GrpcCode.NotFound]: "not_found",
  [GrpcCode.FailedPrecondition]: "invalid_state",
  [GrpcCode.ResourceExhausted]: "resource_exhausted",
  [GrpcCode.DeadlineExceeded]: "guest_unreachable",
  [GrpcCode.Unavailable]: "guest_unreachable",
  // Who cancels a call of its own knows; otherwise it is what HTTP/2 calls a connection that has gone.
  [GrpcCode.Canceled]: "guest_unreachable",
  [GrpcCode.Aborted]: "guest_unreachable",
};

/** What a failed call to the agent means. The only place that maps gRPC codes. */
export function guestError(failure: unknown, what: string): PyroError {
  if (PyroError.is(failure)) return failure;
  const code = failure instanceof GrpcFailure ? CODES[failure.code] : undefined;
  const message = failure instanceof Error ? failure.message : String(failure);
  return new PyroError(code ?? "guest_failed", `${what}: ${message}`, { cause: failure });
}
