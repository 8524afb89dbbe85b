/**
 * A service's methods over one HTTP/2 session, in gRPC (grpc/doc/PROTOCOL-HTTP2.md).
 *
 * Our own: with connect-node its client was two thirds of what pyro itself takes of a start (docs/decisions/0014).
 */
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { OutgoingHttpHeaders } from "node:http2";
import { Call, type CallOptions, type CallSession } from "./call.ts";
import { GrpcCode, GrpcFailure } from "./failure.ts";

type MethodOf<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : M extends DescMethodClientStreaming<infer I, infer O>
      ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => Promise<MessageShape<O>>
      : M extends DescMethodServerStreaming<infer I, infer O>
        ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
          : never;

/** A method for each of the service's. They throw GrpcFailure, or what the session was ended with. */
export type GrpcClient<S extends DescService> = { readonly [K in keyof S["method"]]: MethodOf<S["method"][K]> };

/** The client of a service. */
export function grpcClient<S extends DescService>(service: S, session: CallSession): GrpcClient<S> {
  const methods = service.methods.map((method) => [method.localName, methodOf(method, session)]);
  return Object.fromEntries(methods) as GrpcClient<S>;
}

function methodOf(method: DescMethod, session: CallSession): unknown {
  const begin = (options: CallOptions): Call => {
    if (options.signal?.aborted === true)
      throw new GrpcFailure(GrpcCode.Canceled, "the call was cancelled", options.signal.reason);
    return new Call(session, headersOf(method, options), options);
  };
  const encoded = (request: MessageInitShape<DescMessage>): Uint8Array =>
    toBinary(method.input, create(method.input, request));
  switch (method.methodKind) {
    case "unary":
      return async (request: MessageInitShape<DescMessage>, options: CallOptions = {}) => {
        const message = encoded(request);
        const call = begin(options);
        call.end(message);
        return decoded(method.output, await call.only());
      };
    case "client_streaming":
      return async (requests: AsyncIterable<MessageInitShape<DescMessage>>, options: CallOptions = {}) => {
        const call = begin(options);
        void sendAll(call, requests, encoded);
        return decoded(method.output, await call.only());
      };
    case "bidi_streaming":
      return async function* (requests: AsyncIterable<MessageInitShape<DescMessage>>, options: CallOptions = {}) {
        const call = begin(options);
        void sendAll(call, requests, encoded);
        yield* answers(call, method.output);
      };
    case "server_streaming":
      return async function* (request: MessageInitShape<DescMessage>, options: CallOptions = {}) {
        const message = encoded(request);
        const call = begin(options);
        call.end(message);
        yield* answers(call, method.output);
      };
    default:
      throw new TypeError("a method of this kind is not spoken here");
  }
}

/** What a call is answered with, one message after the other; it ends with whoever asks. */
async function* answers(call: Call, schema: DescMessage): AsyncGenerator<MessageShape<DescMessage>> {
  try {
    for (let next = await call.next(); next !== undefined; next = await call.next()) yield decoded(schema, next);
  } finally {
    call.cancel();
  }
}

function headersOf({ parent, name }: DescMethod, { timeoutMs }: CallOptions): OutgoingHttpHeaders {
  return {
    ":method": "POST",
    ":path": `/${parent.typeName}/${name}`,
    "content-type": "application/grpc",
    te: "trailers",
    ...(timeoutMs === undefined ? {} : { "grpc-timeout": `${Math.ceil(timeoutMs)}m` }),
  };
}

/** Sends what comes until it ends or the call does. */
async function sendAll<T>(call: Call, requests: AsyncIterable<T>, encoded: (request: T) => Uint8Array): Promise<void> {
  try {
    for await (const request of requests) {
      if (call.isOver) return;
      await call.send(encoded(request));
    }
    call.end();
  } catch (failure) {
    call.fail(failure);
  }
}

function decoded<O extends DescMessage>(schema: O, message: Uint8Array): MessageShape<O> {
  try {
    return fromBinary(schema, message);
  } catch (cause) {
    throw new GrpcFailure(GrpcCode.Internal, "the answer cannot be read", cause);
  }
}
