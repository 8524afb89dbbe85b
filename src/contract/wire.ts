/**
 * What client and server agree on beside the operations: HTTP/1.1 over a Unix socket, in one place for both sides.
 *
 * - `POST /rpc/<noun>/<verb>` is an operation, in oRPC's RPC protocol.
 * - `GET /streams/<id>/output` answers the output of the command that runs under this id, framed (stream-frames.ts).
 * - `PUT /streams/<id>/stdin` is the standard input of that command, as it is.
 *
 * Before the server does anything for a request it answers `102 Processing` (RFC 2518, 10.1). A connection that ends
 * without it has done nothing, so that its request may be sent again; after it, nothing is ever sent twice.
 */

export const RPC_PREFIX = "/rpc";

/** On every request and response: the version and build of who sent it. */
export const VERSION_HEADER = "pyro-version";

/** Status of the answer to a client of another version or build, before anything was done for it. */
export const VERSION_MISMATCH_STATUS = 426;

/** On every request and response: the digest of the sender's settings (src/host/settings.ts). */
export const SETTINGS_HEADER = "pyro-settings";

/** Status of the answer to a client with other settings, before anything was done for it. */
export const SETTINGS_MISMATCH_STATUS = 412;

/** Operations that work across versions and settings: they are how a server is replaced by one that fits. */
export const UNCONDITIONAL_PATHS: ReadonlySet<string> = new Set([
  `${RPC_PREFIX}/server/status`,
  `${RPC_PREFIX}/server/stop`,
]);

/** Name of the oRPC error that carries a serialised PyroError in its data. */
export const WIRE_ERROR_CODE = "PYRO_ERROR";

export const streamOutputPath = (streamId: string): string => `/streams/${streamId}/output`;
export const streamStdinPath = (streamId: string): string => `/streams/${streamId}/stdin`;

/** First line of what a server says when it is ready, or cannot be; JSON on this file descriptor. */
export const READY_FD = 3;

/** Largest request body of an operation: a command of the largest size, escaped as JSON at its worst (6 bytes for 1). */
export const REQUEST_BYTES_MAX = 16 * 1024 * 1024;
