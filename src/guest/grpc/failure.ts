/** How a gRPC call fails (grpc/doc/statuscodes.md, grpc/doc/PROTOCOL-HTTP2.md). */
import { constants, type IncomingHttpHeaders } from "node:http2";

/** The codes that the agent answers with or that a failed stream stands for; any other number is kept as it is. */
export const GrpcCode = {
  Ok: 0,
  Canceled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  Internal: 13,
  Unavailable: 14,
} as const;

/** A longer reason of the guest's is cut. */
const MESSAGE_CHARACTERS_MAX = 4096;
/** Failed streams that mean something else than Internal ("HTTP2 Transport Mapping, Errors"). */
const RESETS = new Map<number, number>([
  [constants.NGHTTP2_NO_ERROR, GrpcCode.Unavailable],
  [constants.NGHTTP2_CANCEL, GrpcCode.Canceled],
  [constants.NGHTTP2_REFUSED_STREAM, GrpcCode.Unavailable],
]);

/** A call that did not end well. Only `guestError` turns it into what pyro says. */
export class GrpcFailure extends Error {
  override readonly name = "GrpcFailure";
  readonly code: number;

  constructor(code: number, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
  }
}

/** What the last headers of a call say: undefined when it ended well. */
export function failureOf(trailers: IncomingHttpHeaders): GrpcFailure | undefined {
  const status = trailers["grpc-status"];
  if (status === "0") return undefined;
  if (typeof status !== "string" || !/^[0-9]{1,3}$/.test(status))
    return new GrpcFailure(GrpcCode.Unknown, "the call ended without a status");
  const message = trailers["grpc-message"];
  return new GrpcFailure(Number(status), typeof message === "string" ? unescaped(message) : `status ${status}`);
}

/** Why a stream is over that said nothing of its end, by its HTTP/2 error and whether its session is over too. */
export function failureOfReset(
  rstCode: number | undefined,
  { isLost, cause }: { isLost: boolean; cause: unknown },
): GrpcFailure {
  if (isLost) return new GrpcFailure(GrpcCode.Unavailable, "the connection was lost", cause);
  const code = RESETS.get(rstCode ?? constants.NGHTTP2_NO_ERROR) ?? GrpcCode.Internal;
  return new GrpcFailure(code, `the call's stream was ended with HTTP/2 error ${rstCode}`, cause);
}

/** Percent-encoded UTF-8; what is not stays as it came. */
function unescaped(message: string): string {
  const cut = message.slice(0, MESSAGE_CHARACTERS_MAX);
  try {
    return decodeURIComponent(cut);
  } catch {
    return cut;
  }
}
