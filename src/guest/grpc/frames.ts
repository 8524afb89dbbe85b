/** Messages of a gRPC stream: a flag, four bytes of length, the message (grpc/doc/PROTOCOL-HTTP2.md, Length-Prefixed-Message). */
import { GrpcCode, GrpcFailure } from "./failure.ts";

const PREFIX_BYTES = 5;

/** A message, ready to be sent. */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, PREFIX_BYTES);
  return framed;
}

/** Takes a stream in pieces and gives its messages. Holds no more than one of them that has not come whole. */
export class FrameReader {
  readonly #messageBytesMax: number;
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** Whether the stream may end here. */
  get atBoundary(): boolean {
    return this.#bytes === 0;
  }

  /** @throws GrpcFailure for a message that is too long or compressed, as soon as its prefix says so */
  push(piece: Buffer): Buffer[] {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    const messages: Buffer[] = [];
    for (;;) {
      if (this.#bytes < PREFIX_BYTES) return messages;
      const wholeBytes = PREFIX_BYTES + this.#lengthOfNext();
      if (this.#bytes < wholeBytes) return messages;
      const all = this.#joined();
      messages.push(all.subarray(PREFIX_BYTES, wholeBytes));
      this.#pieces = [all.subarray(wholeBytes)];
      this.#bytes -= wholeBytes;
    }
  }

  #lengthOfNext(): number {
    const first = this.#pieces[0];
    const start = first !== undefined && first.length >= PREFIX_BYTES ? first : this.#joined();
    if (start[0] !== 0) throw new GrpcFailure(GrpcCode.Internal, "a message came in a form that was not asked for");
    const length = start.readUInt32BE(1);
    if (length <= this.#messageBytesMax) return length;
    throw new GrpcFailure(
      GrpcCode.ResourceExhausted,
      `a message of ${length} bytes, where at most ${this.#messageBytesMax} are taken`,
    );
  }

  #joined(): Buffer {
    const [only] = this.#pieces;
    if (this.#pieces.length === 1 && only !== undefined) return only;
    const all = Buffer.concat(this.#pieces);
    this.#pieces = [all];
    return all;
  }
}
