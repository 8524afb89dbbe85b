/** One gRPC call on an HTTP/2 stream: messages out, messages in, and how it ended. */
import {
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
} from "node:http2";
import { PyroError } from "../../contract/error.ts";
import { failureOf, failureOfReset, GrpcCode, GrpcFailure } from "./failure.ts";
import { frame, FrameReader } from "./frames.ts";

/** Largest message we take; the agent sends at most 1 MiB of output in one. */
const MESSAGE_BYTES_MAX = 2 * 1024 * 1024;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Until the call has ended; undefined: for ever. */
  readonly timeoutMs?: number | undefined;
}

/** Where calls are made. */
export interface CallSession {
  readonly isLost: boolean;
  open(headers: OutgoingHttpHeaders): ClientHttp2Stream;
}

/**
 * Whoever reads asks for one message after the other. While messages wait to be asked for nothing is read, so that
 * HTTP/2's window holds the agent back.
 */
export class Call {
  readonly #session: CallSession;
  readonly #stream: ClientHttp2Stream;
  readonly #reader = new FrameReader(MESSAGE_BYTES_MAX);
  readonly #messages: Buffer[] = [];
  #trailers: IncomingHttpHeaders | undefined;
  #streamError: Error | undefined;
  #failure: Error | undefined;
  #over = false;
  #wake: (() => void) | undefined;
  readonly #release: () => void;

  /** `session` opens its stream with these headers. @throws what makes that impossible */
  constructor(session: CallSession, headers: OutgoingHttpHeaders, { signal, timeoutMs }: CallOptions) {
    this.#session = session;
    const stream = session.open(headers);
    this.#stream = stream;
    const abort = (): void => this.#fail(new GrpcFailure(GrpcCode.Canceled, "the call was cancelled", signal?.reason));
    const late = (): void => this.#fail(new GrpcFailure(GrpcCode.DeadlineExceeded, `no answer within ${timeoutMs} ms`));
    const deadline = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
    signal?.addEventListener("abort", abort, { once: true });
    this.#release = () => {
      clearTimeout(deadline);
      signal?.removeEventListener("abort", abort);
    };
    stream.on("response", (first) => this.#begin(first));
    stream.on("trailers", (trailers) => (this.#trailers = trailers));
    stream.on("data", (piece: Buffer) => this.#take(piece));
    stream.once("end", () => this.#end());
    stream.on("error", (failure) => (this.#streamError = failure));
    stream.once("close", () => this.#close());
  }

  /** Sends a message; settles when there is room for the next one. */
  async send(message: Uint8Array): Promise<void> {
    const { destroyed, writableEnded } = this.#stream;
    if (destroyed || writableEnded || this.#stream.write(frame(message))) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#stream.off("drain", done).off("close", done);
        resolve();
      };
      this.#stream.on("drain", done).on("close", done);
    });
  }

  /** Says that no more messages come, after a last one. */
  end(message?: Uint8Array): void {
    if (this.#stream.destroyed) return;
    if (message === undefined) this.#stream.end();
    else this.#stream.end(frame(message));
  }

  /** Whether nothing that is sent from now on arrives. */
  get isOver(): boolean {
    return this.#over;
  }

  /** The next message, or undefined when the call ended well. @throws GrpcFailure; whatever the session was ended with */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return message;
      if (this.#over) {
        if (this.#failure !== undefined) throw this.#failure;
        return undefined;
      }
      this.#stream.resume();
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** The one answer of a call that has just one. @throws as `next` */
  async only(): Promise<Uint8Array> {
    const answer = await this.next();
    if (answer === undefined) throw new GrpcFailure(GrpcCode.Internal, "the call ended without an answer");
    if ((await this.next()) === undefined) return answer;
    this.cancel();
    throw new GrpcFailure(GrpcCode.Internal, "the call was answered twice");
  }

  /** Ends a call with a failure of its sender's own. */
  fail(cause: unknown): void {
    this.#fail(cause instanceof Error ? cause : new GrpcFailure(GrpcCode.Canceled, String(cause)));
  }

  /** Ends a call whose rest nobody wants; one that has ended stays as it is. */
  cancel(): void {
    this.#fail(new GrpcFailure(GrpcCode.Canceled, "the call was cancelled"));
  }

  #begin(headers: IncomingHttpHeaders & IncomingHttpStatusHeader): void {
    const type = headers["content-type"] ?? "";
    if (headers[":status"] !== 200 || !type.startsWith("application/grpc"))
      return this.#fail(new GrpcFailure(GrpcCode.Unknown, "the answer is none of gRPC"));
    // A call that failed at once says so in its first headers, which are its last.
    if (headers["grpc-status"] !== undefined) this.#trailers = headers;
  }

  #take(piece: Buffer): void {
    if (this.#over) return;
    try {
      this.#messages.push(...this.#reader.push(piece));
    } catch (failure) {
      return this.fail(failure);
    }
    if (this.#messages.length === 0) return;
    this.#stream.pause();
    this.#wakeReader();
  }

  /** The agent has said all. Our side may still be open, and the stream is closed only when both are. */
  #end(): void {
    if (this.#trailers !== undefined) this.#close();
    this.#stream.close(constants.NGHTTP2_NO_ERROR);
  }

  #close(): void {
    if (!this.#over) this.#finish(this.#howItEnded());
  }

  #howItEnded(): Error | undefined {
    // Why the session was ended, where we ended it.
    if (PyroError.is(this.#streamError)) return this.#streamError;
    if (this.#trailers === undefined)
      return failureOfReset(this.#stream.rstCode, { isLost: this.#session.isLost, cause: this.#streamError });
    const failure = failureOf(this.#trailers);
    if (failure !== undefined || this.#reader.atBoundary) return failure;
    return new GrpcFailure(GrpcCode.Internal, "the call ended in the middle of a message");
  }

  #fail(failure: Error): void {
    if (this.#over) return;
    this.#messages.length = 0;
    this.#stream.close(constants.NGHTTP2_CANCEL);
    this.#finish(failure);
  }

  #finish(failure: Error | undefined): void {
    this.#over = true;
    this.#failure = failure;
    this.#release();
    this.#wakeReader();
  }

  #wakeReader(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
