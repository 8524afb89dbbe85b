/**
 * Framing of a command's output on one byte stream: 1 byte stream (1 stdout, 2 stderr), 3 zero bytes, 4 bytes length
 * (big-endian), payload. It is Docker's attach framing, so that existing tools can read it.
 */
import { PyroError } from "./error.ts";

export type OutputStream = "stdout" | "stderr";

const HEADER_BYTES = 8;
/** A frame is one read of a pipe or a few; what claims more is not a frame. */
export const FRAME_PAYLOAD_BYTES_MAX = 16 * 1024 * 1024;

const NUMBER_OF: Record<OutputStream, number> = { stdout: 1, stderr: 2 };

/** The eight bytes that go before `payloadBytes` bytes of output. */
export function frameHeader(stream: OutputStream, payloadBytes: number): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  header[0] = NUMBER_OF[stream];
  new DataView(header.buffer).setUint32(4, payloadBytes);
  return header;
}

/** Takes the byte stream apart again, piece by piece, without copying payloads. */
export class FrameReader {
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  #stream: OutputStream = "stdout";
  #payloadBytesLeft = 0;

  /** The payloads in the next piece of the byte stream; one payload may come in several parts. */
  *read(piece: Uint8Array): Generator<{ stream: OutputStream; data: Uint8Array }> {
    let offset = 0;
    while (offset < piece.length) {
      if (this.#payloadBytesLeft === 0) {
        offset += this.#takeHeader(piece, offset);
        continue;
      }
      const data = piece.subarray(offset, offset + this.#payloadBytesLeft);
      offset += data.length;
      this.#payloadBytesLeft -= data.length;
      yield { stream: this.#stream, data };
    }
  }

  /** Whether the byte stream may end here. */
  get atBoundary(): boolean {
    return this.#headerBytes === 0 && this.#payloadBytesLeft === 0;
  }

  /** Collects header bytes, which may be split anywhere; the number of bytes taken. */
  #takeHeader(piece: Uint8Array, offset: number): number {
    const part = piece.subarray(offset, offset + HEADER_BYTES - this.#headerBytes);
    this.#header.set(part, this.#headerBytes);
    this.#headerBytes += part.length;
    if (this.#headerBytes === HEADER_BYTES) {
      this.#headerBytes = 0;
      this.#stream = streamOf(this.#header);
      this.#payloadBytesLeft = new DataView(this.#header.buffer).getUint32(4);
      if (this.#payloadBytesLeft > FRAME_PAYLOAD_BYTES_MAX) throw malformed(this.#header);
    }
    return part.length;
  }
}

function streamOf(header: Uint8Array): OutputStream {
  const padded = header[1] === 0 && header[2] === 0 && header[3] === 0;
  if (padded && header[0] === NUMBER_OF.stdout) return "stdout";
  if (padded && header[0] === NUMBER_OF.stderr) return "stderr";
  throw malformed(header);
}

function malformed(header: Uint8Array): PyroError {
  return new PyroError("protocol_mismatch", "the server sent output in a form that is not known here", {
    evidence: { header: [...header].map((byte) => byte.toString(16).padStart(2, "0")).join("") },
    remedy: "stop it with `pyro server stop --force`; the next call starts one of this version",
  });
}
