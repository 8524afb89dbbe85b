/** The one HTTP/2 session on a greeted stream. When it ends, all its calls have failed and there is no other. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { Duplex } from "node:stream";
import { PyroError } from "../contract/error.ts";
import type { GuestClock } from "./clock.ts";
import type { CallSession } from "./grpc/call.ts";

/** Never resolved: HTTP/2 needs an authority (RFC 9113, 8.3.1). */
const AUTHORITY = "http://guest";
/** Bytes of one stream the agent may send before we have read them; bounds our memory per command. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
/**
 * The same for all streams together. Node gives this window back as bytes arrive, read or not, so it bounds no memory;
 * but it starts at 64 KiB (RFC 9113, 6.9.2), and the agent would be told of every 32 KiB, an interrupt each.
 */
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** Fewer, larger pieces for the agent to send: a message of output, which has at most 512 KiB, in one frame. */
const FRAME_BYTES_MAX = 1024 * 1024;
/** A guest that answers no ping for so long is wedged; generous, for a vCPU may be starved on a loaded host. */
export const PULSE_MS = 15_000;
const PING_DEADLINE_MS = 45_000;
/** Pulses to wait for while something is being sent. */
const SILENT_PULSES_SENDING = 8;

export class GuestSession implements CallSession {
  /** Settles when the session is set up or has failed: to destroy it before makes Node throw where nobody catches. */
  readonly settled: Promise<void>;
  readonly #session: ClientHttp2Session;
  readonly #clock: GuestClock;
  readonly #pulse: NodeJS.Timeout;
  readonly #calls = new Set<ClientHttp2Stream>();
  /** When the oldest ping that is not answered was sent. */
  #askedAt: number | undefined;
  /** Pulses in a row since something of a call was read. */
  #silentPulses = 0;

  constructor(stream: Duplex, clock: GuestClock, pulseMs = PULSE_MS) {
    this.#clock = clock;
    this.#session = connect(AUTHORITY, {
      settings: { initialWindowSize: STREAM_WINDOW_BYTES, maxFrameSize: FRAME_BYTES_MAX, enablePush: false },
      createConnection: () => stream,
    });
    this.#session.once("connect", () => this.#session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
    // Every call that is open fails by itself.
    this.#session.on("error", () => undefined);
    this.settled = new Promise((resolve) => {
      this.#session.once("connect", () => resolve()).once("close", resolve);
    });
    this.#pulse = setInterval(() => this.#checkPulse(), pulseMs).unref();
    this.#session.once("close", () => {
      clearInterval(this.#pulse);
      stream.destroy();
    });
  }

  get isLost(): boolean {
    return this.#session.closed || this.#session.destroyed;
  }

  /** Opens a call. @throws PyroError guest_unreachable */
  open(headers: OutgoingHttpHeaders): ClientHttp2Stream {
    if (this.isLost) throw new PyroError("guest_unreachable", "the connection to the guest agent was lost");
    const call = this.#session.request(headers);
    this.#calls.add(call);
    // Whatever is read of a call says that the agent lives.
    call.on("data", () => {
      this.#silentPulses = 0;
      this.#askedAt = undefined;
    });
    call.once("close", () => this.#calls.delete(call));
    return call;
  }

  close(): void {
    const reason = new PyroError("guest_unreachable", "the connection to the guest agent was closed");
    this.#session.destroy(reason, constants.NGHTTP2_CANCEL);
  }

  /**
   * Asks an agent that is silent. Node reads nothing while a write of its own waits, and the agent's HTTP/2 reads nothing while its answer
   * to a ping waits: a ping in the middle of much data in both directions would stop both for ever.
   */
  #checkPulse(): void {
    this.#silentPulses = this.#calls.size === 0 ? 0 : this.#silentPulses + 1;
    const sending = [...this.#calls].some(({ writableLength }) => writableLength > 0);
    if (this.#silentPulses <= (sending ? SILENT_PULSES_SENDING : 1)) return;
    // A guest that is paused answers nothing, and is not wedged.
    const now = this.#clock.now();
    if (this.#askedAt !== undefined) {
      if (now - this.#askedAt < PING_DEADLINE_MS) return;
      this.#session.destroy(new PyroError("guest_unreachable", "the guest agent does not answer any more"));
      return;
    }
    this.#askedAt = now;
    this.#session.ping(() => (this.#askedAt = undefined));
  }
}
