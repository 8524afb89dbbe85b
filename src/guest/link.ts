/** A connection to the guest agent: gRPC over one greeted byte stream. */
import type { Duplex } from "node:stream";
import { type ErrorCode, PyroError } from "../contract/error.ts";
import { Agent } from "./generated/pyro/agent/v1/agent_pb.ts";
import { GuestClock } from "./clock.ts";
import { greet } from "./greeting.ts";
import { type GrpcClient, grpcClient } from "./grpc/client.ts";
import { GrpcCode, GrpcFailure } from "./grpc/failure.ts";
import { GuestSession } from "./session.ts";

export type AgentClient = GrpcClient<typeof Agent>;

/** Of the guests whose agents these are. */
const clocks = new WeakMap<AgentClient, GuestClock>();

/** The clock of the guest behind `agent`, by which it is to keep its time limits. */
export const clockOf = (agent: AgentClient): GuestClock => clocks.get(agent) ?? new GuestClock();

export interface GuestLink {
  readonly agent: AgentClient;
  /** Version of the protocol that both sides speak. */
  readonly protocolVersion: number;
  /** To be stopped while the machine is paused: nothing that the guest does is late meanwhile. */
  readonly clock: GuestClock;
  /** Ends the connection; running commands go on. */
  close(): void;
}

/**
 * Greets the agent on `stream` and starts gRPC on it. `pulseMs`: how often it is looked whether the agent is silent.
 * @throws PyroError guest_unreachable, protocol_mismatch
 */
export async function openGuestLink(stream: Duplex, deadlineMs: number, pulseMs?: number): Promise<GuestLink> {
  let protocolVersion: number;
  try {
    protocolVersion = await greet(stream, deadlineMs);
  } catch (failure) {
    stream.destroy();
    throw failure;
  }
  const clock = new GuestClock();
  const session = new GuestSession(stream, clock, pulseMs);
  await session.settled;
  const agent = grpcClient(Agent, session);
  clocks.set(agent, clock);
  return {
    agent,
    protocolVersion,
    clock,
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
