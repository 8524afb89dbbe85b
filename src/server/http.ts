/** The server's HTTP side: what comes in on the socket, and to whom it goes. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AnyRouter } from "@orpc/server";
import { RPCHandler } from "@orpc/server/node";
import { PyroError, type SerializedError } from "../contract/error.ts";
import { BUILD_VERSION } from "../contract/version.ts";
import {
  REQUEST_BYTES_MAX,
  RPC_PREFIX,
  SETTINGS_HEADER,
  SETTINGS_MISMATCH_STATUS,
  UNCONDITIONAL_PATHS,
  VERSION_HEADER,
  VERSION_MISMATCH_STATUS,
} from "../contract/wire.ts";
import type { ByteStreams } from "./byte-streams.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { log } from "./log.ts";
import type { RpcContext } from "./router.ts";
import { toWireError } from "./wire-error.ts";

/** Bytes that may wait in a connection before a writer has to: a few reads of a guest's pipe. */
const CONNECTION_BUFFER_BYTES = 512 * 1024;
const HEADERS_DEADLINE_MS = 10_000;
/** For a request's body, where it is not a byte stream. */
const BODY_DEADLINE_MS = 30_000;

const STREAM_PATH = /^\/streams\/([0-9a-f]{32})\/(output|stdin)$/;

export interface HttpParts {
  readonly router: AnyRouter;
  readonly streams: ByteStreams;
  readonly lifecycle: Lifecycle;
  /** Digest of the settings that this server was started with. */
  readonly settings: string;
}

/** The HTTP server, not yet listening. */
export function createHttpServer(parts: HttpParts): Server {
  const rpc = new RPCHandler<RpcContext>(parts.router, {
    strictGetMethodPluginEnabled: false,
    // The only place where failures of the protocol itself (a bad input, an output that is not as promised) get their type.
    clientInterceptors: [
      async ({ next }) => {
        try {
          return await next();
        } catch (failure) {
          throw toWireError(failure);
        }
      },
    ],
  });
  const server = createServer(
    // Byte streams last as long as their command: no limit on a request as a whole, but on its head and on RPC bodies.
    {
      highWaterMark: CONNECTION_BUFFER_BYTES,
      requestTimeout: 0,
      headersTimeout: HEADERS_DEADLINE_MS,
      keepAliveTimeout: 0,
      noDelay: true,
    },
    (request, response) => {
      answer(request, response, { ...parts, rpc }).catch((failure: unknown) => {
        log("request", { failure: PyroError.from(failure).message });
        refuse(response, 500, PyroError.from(failure));
      });
    },
  );
  server.on("clientError", (_failure, socket) => socket.destroy());
  return server;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  parts: HttpParts & { rpc: RPCHandler<RpcContext> },
): Promise<void> {
  // Without a word: for the client this server is gone, and the next one takes the request.
  if (parts.lifecycle.stopping) return void request.socket.destroy();
  const path = request.url ?? "/";
  response.setHeader(VERSION_HEADER, BUILD_VERSION);
  response.setHeader(SETTINGS_HEADER, parts.settings);
  response.sendDate = false;
  const mismatch = UNCONDITIONAL_PATHS.has(path) ? undefined : mismatchOf(request, parts.settings);
  if (mismatch !== undefined) return refuse(response, mismatch.status, mismatch.error);
  const stream = STREAM_PATH.exec(path);
  if (stream !== null)
    return joinStream(request, response, { streams: parts.streams, id: stream[1] ?? "", kind: stream[2] ?? "" });
  if (request.method === "POST" && path.startsWith(`${RPC_PREFIX}/`)) return await answerCall(request, response, parts);
  return refuse(response, 404, new PyroError("not_found", "there is nothing at this path"));
}

/** Why a client is not to be served by this server. What to do about it is decided by the client. */
function mismatchOf({ headers }: IncomingMessage, settings: string): { status: number; error: PyroError } | undefined {
  const theirs = String(headers[VERSION_HEADER] ?? "none");
  if (theirs !== BUILD_VERSION) {
    const message = `this server has version ${BUILD_VERSION}, the client ${theirs}`;
    return { status: VERSION_MISMATCH_STATUS, error: new PyroError("protocol_mismatch", message) };
  }
  if (headers[SETTINGS_HEADER] !== settings) {
    const error = new PyroError("invalid_state", "this server was started with other settings than the client's");
    return { status: SETTINGS_MISMATCH_STATUS, error };
  }
  return undefined;
}

function joinStream(
  request: IncomingMessage,
  response: ServerResponse,
  { streams, id, kind }: { streams: ByteStreams; id: string; kind: string },
): void {
  const known = new PyroError("invalid_argument", "this byte stream is already open, or its command has ended");
  if (kind === "output" && request.method === "GET") {
    if (!streams.attachOutput(id, response)) refuse(response, 409, known);
  } else if (kind === "stdin" && request.method === "PUT") {
    if (!streams.attachStdin(id, request)) return refuse(response, 409, known);
    request.once("end", () => response.writeHead(204).end());
    // A client that dies in the middle is the call's business.
    request.once("error", () => undefined);
  } else refuse(response, 405, new PyroError("invalid_argument", "this byte stream goes the other way"));
}

async function answerCall(
  request: IncomingMessage,
  response: ServerResponse,
  { rpc, lifecycle }: HttpParts & { rpc: RPCHandler<RpcContext> },
): Promise<void> {
  const operation = (request.url ?? "")
    .slice(RPC_PREFIX.length + 1)
    .replaceAll("/", ".")
    .slice(0, 64);
  const start = performance.now();
  const controller = new AbortController();
  const ended = new Promise<void>((resolve) => response.once("close", resolve));
  const abort = (why: PyroError): void => controller.abort(why);
  lifecycle.add({ abort, ended });
  response.once("close", () => {
    if (!response.writableFinished) abort(new PyroError("cancelled", "the client went away"));
  });
  const body = await readJson(request);
  if (body instanceof PyroError) return refuse(response, 400, body);
  if (lifecycle.stopping) return void request.socket.destroy();
  response.writeProcessing();
  // The handler takes a body that is already parsed, and reads none of its own: no forms, no files.
  Object.assign(request, { body });
  const settled = (failure: PyroError | undefined): void => {
    log("call", { operation, ms: Math.round(performance.now() - start), outcome: failure?.code ?? "ok" });
  };
  const { matched } = await rpc.handle(request, response, {
    prefix: RPC_PREFIX,
    context: { signal: controller.signal, ended, abort, settled },
  });
  if (!matched) refuse(response, 404, new PyroError("not_found", "there is no such operation"));
}

/** The body as JSON, or why it is none. Bounded in bytes and in time. */
async function readJson(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  const deadline = setTimeout(() => request.destroy(), BODY_DEADLINE_MS);
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      bytes += piece.length;
      if (bytes > REQUEST_BYTES_MAX)
        return new PyroError("invalid_argument", `a request has at most ${REQUEST_BYTES_MAX} bytes`);
      pieces.push(piece);
    }
    return JSON.parse(Buffer.concat(pieces).toString("utf8")) as unknown;
  } catch (cause) {
    return new PyroError("invalid_argument", "the request is not JSON", { cause });
  } finally {
    clearTimeout(deadline);
  }
}

/** Answers with an error in the form in which operations answer theirs. */
function refuse(response: ServerResponse, status: number, error: PyroError): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  // What is left of the request's body is not worth reading.
  response.shouldKeepAlive = false;
  const body: { error: SerializedError } = { error: error.toJSON() };
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
