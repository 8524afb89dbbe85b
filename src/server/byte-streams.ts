/**
 * Byte streams of running commands: HTTP requests beside the calls, joined with them by an id that the client chose.
 *
 * Call and streams arrive in any order. Whoever is first waits for its partner, for a bounded time.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { PyroError } from "../contract/error.ts";
import { frameHeader, type OutputStream } from "../contract/stream-frames.ts";
import { withDeadline } from "../host/deadline.ts";

/** How long one side waits for the other; both are sent at the same moment. */
const PARTNER_DEADLINE_MS = 10_000;
/** Ids of finished commands that are remembered, so that one is never taken for another. */
const SPENT_IDS_MAX = 4096;

/** The byte streams of one command. */
export interface CommandStreams {
  /** Says that the command runs, by a frame without bytes: until the first frame it may still be waiting for its turn. */
  readonly begin: () => void;
  /** Takes output; settles when the client has room for more. */
  readonly write: (stream: OutputStream, data: Uint8Array) => Promise<void> | void;
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Whether the client has sent all of it, once it has ended. */
  readonly isStdinWhole: () => boolean;
  /** Ends them: everything written is out, what was not read of stdin is refused. */
  readonly finish: () => void;
}

class Joint {
  claimed = false;
  /** The command has ended: nobody waits any more. */
  over = false;
  output: ServerResponse | undefined;
  stdin: IncomingMessage | undefined;
  readonly #waiting: (() => void)[] = [];
  readonly #deadlineMs: number;

  constructor(deadlineMs: number) {
    this.#deadlineMs = deadlineMs;
  }

  changed(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** What `pick` gives, as soon as it gives something. */
  async partner<T>(pick: () => T | undefined): Promise<T> {
    const found = pick();
    if (found !== undefined) return found;
    const arrival = (async () => {
      for (;;) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
        const late = pick();
        if (late !== undefined) return late;
        if (this.over) throw new PyroError("cancelled", "the command ended before its byte stream was opened");
      }
    })();
    return await withDeadline(arrival, this.#deadlineMs, () => {
      return new PyroError(
        "deadline_exceeded",
        `the client did not open its byte stream within ${this.#deadlineMs} ms`,
      );
    });
  }
}

export class ByteStreams {
  readonly #joints = new Map<string, Joint>();
  readonly #spent = new Set<string>();
  readonly #partnerDeadlineMs: number;

  constructor(options: { partnerDeadlineMs?: number } = {}) {
    this.#partnerDeadlineMs = options.partnerDeadlineMs ?? PARTNER_DEADLINE_MS;
  }

  /** Takes the response on which the output of command `id` goes; false when the id has one or is used up. */
  attachOutput(id: string, response: ServerResponse): boolean {
    const joint = this.#joint(id);
    if (joint === undefined || joint.output !== undefined) return false;
    joint.output = response;
    response.writeHead(200, { "content-type": "application/octet-stream" });
    response.flushHeaders();
    joint.changed();
    return true;
  }

  /** Takes the request whose body is the standard input of command `id`; false as above. */
  attachStdin(id: string, request: IncomingMessage): boolean {
    const joint = this.#joint(id);
    if (joint === undefined || joint.stdin !== undefined) return false;
    joint.stdin = request;
    joint.changed();
    return true;
  }

  /**
   * The streams of the command that is to run under `id`; `withOutput`: also output goes there.
   * @throws PyroError when the client does not open what it announced
   */
  async claim(id: string, { withOutput }: { withOutput: boolean }): Promise<CommandStreams> {
    const joint = this.#joint(id);
    if (joint === undefined || joint.claimed) {
      throw new PyroError("invalid_argument", "this stream id was used before", {
        remedy: "choose a new random one for every command",
      });
    }
    joint.claimed = true;
    try {
      const output = withOutput ? await joint.partner(() => joint.output) : undefined;
      return {
        begin: () => {
          if (output !== undefined && !isOver(output)) output.write(frameHeader("stdout", 0));
        },
        write: (stream, data) => (output === undefined ? undefined : writeFrame(output, stream, data)),
        stdin: stdinOf(joint),
        isStdinWhole: () => joint.stdin?.complete === true,
        finish: () => {
          joint.output?.end();
          joint.stdin?.destroy();
          joint.over = true;
          joint.changed();
          this.#forget(id);
        },
      };
    } catch (failure) {
      this.#forget(id);
      throw failure;
    }
  }

  /** The joint of `id`, made when there is none; undefined when the id is used up. */
  #joint(id: string): Joint | undefined {
    if (this.#spent.has(id)) return undefined;
    const known = this.#joints.get(id);
    if (known !== undefined) return known;
    const joint = new Joint(this.#partnerDeadlineMs);
    this.#joints.set(id, joint);
    setTimeout(() => {
      if (joint.claimed) return;
      joint.output?.destroy();
      joint.stdin?.destroy();
      this.#forget(id);
    }, this.#partnerDeadlineMs).unref();
    return joint;
  }

  #forget(id: string): void {
    this.#joints.delete(id);
    this.#spent.add(id);
    const oldest = this.#spent.values().next().value;
    if (this.#spent.size > SPENT_IDS_MAX && oldest !== undefined) this.#spent.delete(oldest);
  }
}

const isOver = (response: ServerResponse): boolean => response.destroyed || response.writableEnded;

/** Writes one frame as one HTTP chunk without copying it. A reader that is gone takes everything: its call is ending. */
function writeFrame(response: ServerResponse, stream: OutputStream, data: Uint8Array): Promise<void> | void {
  if (isOver(response) || data.length === 0) return undefined;
  response.cork();
  response.write(frameHeader(stream, data.length));
  const hasRoom = response.write(data);
  response.uncork();
  if (hasRoom) return undefined;
  return new Promise((resolve) => {
    const settle = (): void => {
      response.off("drain", settle);
      response.off("close", settle);
      resolve();
    };
    response.once("drain", settle);
    response.once("close", settle);
  });
}

async function* stdinOf(joint: Joint): AsyncGenerator<Uint8Array, void, void> {
  const request = await joint.partner(() => joint.stdin);
  try {
    for await (const piece of request) yield piece as Uint8Array;
  } catch (failure) {
    // A client that dies in the middle ends its call too; for the command it is the end of its input.
    if (!request.destroyed) throw failure;
  }
}
