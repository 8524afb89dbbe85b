/** The host's side of the greeting (docs/reference/guest-protocol.md). */
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { PyroError } from "../contract/error.ts";

/** Newest protocol version this host speaks. */
export const PROTOCOL_VERSION = 3;
/** An agent of version 1 has no volumes, one of version 2 starts a command by a call of its own. */
const OLDEST_PROTOCOL_VERSION = 1;
/** A line longer than this is no greeting; stale bytes are skipped in pieces of at most this much memory. */
const LINE_BYTES_MAX = 64;

/** An unanswered greeting is sent again after this, then after twice as long, and so on: an agent may only be slow. */
const GREET_AGAIN_MS = 2000;

/**
 * Greets the agent and skips everything before its answer. Afterwards the stream carries HTTP/2 and nothing else.
 * @returns the protocol version both sides speak
 * @throws PyroError guest_unreachable at the deadline or when the stream ends, protocol_mismatch
 */
export async function greet(stream: Duplex, deadlineMs: number): Promise<number> {
  return await new Promise<number>((resolve, reject) => {
    const timer = setTimeout(() => {
      finish(new PyroError("guest_unreachable", `the guest agent did not answer the greeting within ${deadlineMs} ms`));
    }, deadlineMs);
    let finder: AnswerFinder;
    let again: NodeJS.Timeout | undefined;
    // Only the newest greeting counts, so that no answer is still on its way when HTTP/2 begins.
    const ask = (patienceMs: number): void => {
      const nonce = randomBytes(16).toString("hex");
      finder = new AnswerFinder(nonce);
      stream.write(`PYRO/${PROTOCOL_VERSION} ${nonce}\n`);
      again = setTimeout(() => ask(patienceMs * 2), patienceMs);
    };
    const onData = (chunk: Buffer): void => {
      const found = finder.push(chunk);
      if (found === undefined) return;
      stream.pause();
      stream.off("data", onData);
      // The agent says nothing after its answer before we start HTTP/2, but what came with it is not ours to drop.
      if (found.rest.length > 0) stream.unshift(found.rest);
      finish(checkVersion(found.version));
    };
    const onEnd = (): void =>
      finish(new PyroError("guest_unreachable", "the link to the guest agent ended in the greeting"));
    const onError = (cause: Error): void =>
      finish(new PyroError("guest_unreachable", "the link to the guest agent failed", { cause }));
    const finish = (outcome: number | PyroError): void => {
      clearTimeout(timer);
      clearTimeout(again);
      stream.off("data", onData).off("end", onEnd).off("close", onEnd).off("error", onError);
      if (typeof outcome === "number") resolve(outcome);
      else reject(outcome);
    };
    // A stream that has ended already tells nobody again.
    if (stream.destroyed || stream.readableEnded) return onEnd();
    stream.on("data", onData).on("end", onEnd).on("close", onEnd).on("error", onError);
    // A stream that was accepted paused stays so until it is told.
    stream.resume();
    ask(GREET_AGAIN_MS);
  });
}

function checkVersion(version: number): number | PyroError {
  if (version >= OLDEST_PROTOCOL_VERSION && version <= PROTOCOL_VERSION) return version;
  return new PyroError(
    "protocol_mismatch",
    `the guest agent speaks protocol ${version}, this host ${PROTOCOL_VERSION}`,
    {
      remedy: "use the agent that came with this version of pyro: unset PYRO_AGENT_PATH and run `pyro env pull` again",
    },
  );
}

/** Finds the answer line in a stream of stale and wanted bytes, with bounded memory. */
export class AnswerFinder {
  readonly #wanted: RegExp;
  #line = Buffer.alloc(0);

  constructor(nonce: string) {
    this.#wanted = new RegExp(`PYRO-AGENT/([0-9]{1,5}) ${nonce}$`);
  }

  /** Takes the next bytes; gives the version and what follows the answer once it is complete. */
  push(chunk: Buffer): { version: number; rest: Buffer } | undefined {
    let position = 0;
    for (let end = chunk.indexOf(10, position); end !== -1; end = chunk.indexOf(10, position)) {
      this.#extend(chunk.subarray(position, end));
      position = end + 1;
      // Stale bytes may stand before the answer on its line, so only the line's end counts.
      const match = this.#wanted.exec(this.#line.toString("latin1"));
      this.#line = Buffer.alloc(0);
      if (match !== null) return { version: Number(match[1]), rest: chunk.subarray(position) };
    }
    this.#extend(chunk.subarray(position));
    return undefined;
  }

  /** Keeps the last bytes of the current line: the answer is at its end. */
  #extend(piece: Buffer): void {
    this.#line = Buffer.concat([this.#line, piece.subarray(-LINE_BYTES_MAX)]).subarray(-LINE_BYTES_MAX);
  }
}
