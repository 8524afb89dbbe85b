/** Following one command in the guest: output, input, end. */
import { PyroError } from "../contract/error.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type AfterEnd,
  type AttachResponse,
  type Exit,
  type StartRequestSchema,
  Stream,
} from "./generated/pyro/agent/v1/agent_pb.ts";
import { LatestValue } from "./latest-value.ts";
import { type AgentClient, clockOf, guestError } from "./link.ts";
import { Overdue } from "./overdue.ts";

/**
 * Output the agent may hold back for a lost link before it is told that we have it: half of what it keeps of a stream
 * (LOG_LIMIT_BYTES in agent/src/exec/output_log.rs), since every acknowledgement interrupts the guest.
 */
const ACKNOWLEDGE_EVERY_BYTES = 2 * 1024 * 1024;
/** What a message counts beside its bytes: as much as in the agent, whose memory short pieces fill as well. */
const MESSAGE_OVERHEAD_BYTES = 64;

/** Where a follower is in a command's output. Given to a later one, it goes on from there. */
export interface OutputOffsets {
  stdout: bigint;
  stderr: bigint;
}

export interface FollowOptions {
  readonly from?: OutputOffsets;
  /** Takes output as it comes; the next piece is given when its promise has settled. */
  readonly onOutput: (stream: "stdout" | "stderr", data: Uint8Array) => Promise<void> | void;
  /**
   * For a command that drops its oldest output instead of waiting: told of bytes that are no longer there, and nothing is
   * acknowledged. Without it such a gap is a failure.
   */
  readonly onDropped?: (stream: "stdout" | "stderr", bytes: number) => void;
  readonly signal?: AbortSignal;
  /** Starts the command first; to an agent of version 3 only. */
  readonly start?: CommandStart;
  /** Milliseconds from now after which the guest has ended the command by itself; undefined: it may run for ever. */
  readonly endsWithinMs?: number;
}

/** What `followCommand` starts. */
export interface CommandStart {
  /** Its id is the command's. */
  readonly request: MessageInitShape<typeof StartRequestSchema>;
  /** What the agent does with it once it has given its end. */
  readonly afterEnd: AfterEnd;
  /** How long the agent may take to say that it has started. */
  readonly deadlineMs: number;
  readonly onStarted: () => void;
}

/**
 * Reads a command's output from `from` on and gives its end. Cancelling it leaves the command alone.
 * @throws PyroError guest_unreachable when the link was lost (the command goes on), not_found, guest_failed
 */
export async function followCommand(agent: AgentClient, execId: string, options: FollowOptions): Promise<Exit> {
  const taken: OutputOffsets = { stdout: options.from?.stdout ?? 0n, stderr: options.from?.stderr ?? 0n };
  const { start, endsWithinMs } = options;
  const overdue = new Overdue({ endsWithinMs, startsWithinMs: start?.deadlineMs }, clockOf(agent));
  const acknowledgements = new LatestValue<OutputOffsets>();
  let unacknowledged = 0;
  let isStarting = start !== undefined;
  const requests = (async function* () {
    const skipDropped = options.onDropped !== undefined;
    const place = { execId, stdoutOffset: taken.stdout, stderrOffset: taken.stderr, skipDropped };
    yield start === undefined ? place : { ...place, start: start.request, afterEnd: start.afterEnd };
    // Naming a place acknowledges nothing, and an acknowledgement may have been lost with the old link: a full log would
    // wait for it.
    if (options.from !== undefined) yield place;
    for await (const offsets of acknowledgements) {
      yield { execId, stdoutOffset: offsets.stdout, stderrOffset: offsets.stderr };
    }
  })();
  try {
    const signal = options.signal === undefined ? overdue.signal : AbortSignal.any([overdue.signal, options.signal]);
    overdue.wait();
    for await (const response of agent.attach(requests, { signal })) {
      if (response.event.case === "started") {
        isStarting = false;
        overdue.started();
        start?.onStarted();
      }
      overdue.arrived(response.event.case === "output" ? response.event.value.data.length : 0);
      const exit = await takeEvent(response, taken, options);
      if (exit !== undefined) return exit;
      if (response.event.case === "output") unacknowledged += response.event.value.data.length + MESSAGE_OVERHEAD_BYTES;
      overdue.wait();
      if (unacknowledged >= ACKNOWLEDGE_EVERY_BYTES && options.onDropped === undefined) {
        acknowledgements.set({ ...taken });
        unacknowledged = 0;
      }
    }
  } catch (failure) {
    throw overdue.failure ?? guestError(failure, isStarting ? "starting the command" : "following the command");
  } finally {
    overdue.stop();
    acknowledgements.end();
  }
  throw new PyroError("guest_unreachable", "the guest agent ended the output of a command that has not ended");
}

async function takeEvent(
  response: AttachResponse,
  taken: OutputOffsets,
  { onOutput, onDropped }: FollowOptions,
): Promise<Exit | undefined> {
  const { event } = response;
  if (event.case === "exit") return event.value;
  if (event.case !== "output") return undefined;
  const stream = event.value.stream === Stream.STDERR ? "stderr" : "stdout";
  const { offset } = event.value;
  if (onDropped !== undefined && offset > taken[stream]) {
    onDropped(stream, Number(offset - taken[stream]));
    taken[stream] = offset;
  }
  if (offset !== taken[stream]) {
    throw new PyroError("guest_failed", `output of ${stream} is out of order: ${offset} after ${taken[stream]}`);
  }
  await onOutput(stream, event.value.data);
  taken[stream] += BigInt(event.value.data.length);
  return undefined;
}

/**
 * Feeds a command's standard input until `input` ends or the command closes it.
 * @returns bytes the command was given
 */
export async function feedInput(
  agent: AgentClient,
  execId: string,
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<bigint> {
  const messages = (async function* () {
    let offset = 0n;
    yield { execId, offset, data: new Uint8Array(), end: false };
    for await (const data of input) {
      yield { execId: "", offset, data, end: false };
      offset += BigInt(data.length);
    }
    yield { execId: "", offset, data: new Uint8Array(), end: true };
  })();
  try {
    return (await agent.stdin(messages, { signal })).acceptedBytes;
  } catch (failure) {
    throw guestError(failure, "feeding the command's input");
  }
}
