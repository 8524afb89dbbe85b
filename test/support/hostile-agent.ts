/** An agent that does what no agent should: a script on a Unix socket, with HTTP/2 behind the greeting when it wants. */
import { once } from "node:events";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { connect, createServer, type Socket } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { type AttachResponse, AttachResponseSchema } from "../../src/guest/generated/pyro/agent/v1/agent_pb.ts";

/** What it does with a connection. */
type Script = (socket: Socket) => void;

export interface HostileAgent {
  /** The host's end of a new connection. */
  connect(): Promise<Socket>;
  close(): Promise<void>;
}

export async function hostileAgent(script: Script): Promise<HostileAgent> {
  const directory = await mkdtemp(join(tmpdir(), "pyro-hostile-"));
  const path = join(directory, "agent.sock");
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    script(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    connect: async () => {
      const socket = connect(path);
      await once(socket, "connect");
      socket.on("error", () => socket.destroy());
      return socket;
    },
    close: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await rm(directory, { recursive: true });
    },
  };
}

/** Answers the greeting as it should be, then goes on with `next`. */
export function greeted(next: Script): Script {
  return (socket) => {
    socket.once("data", (line: Buffer) => {
      socket.pause();
      socket.write(line.toString().replace("PYRO/", "PYRO-AGENT/"));
      next(socket);
    });
  };
}

/** Speaks HTTP/2 and answers every call by `answer`, with the name of the method. */
export function http2(answer: (stream: ServerHttp2Stream, method: string) => void): Script {
  const server = createHttp2Server();
  server.on("sessionError", () => undefined);
  server.on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    stream.resume();
    answer(stream, String(headers[":path"]).split("/").at(-1) ?? "");
  });
  return greeted((socket) => void server.emit("connection", socket));
}

/** Answers calls of one method; others are never answered. */
export const http2Method = (method: string, answer: (stream: ServerHttp2Stream) => void): Script =>
  http2((stream, called) => (called === method ? answer(stream) : undefined));

export const GRPC_HEADERS = { ":status": 200, "content-type": "application/grpc+proto" };

/** A gRPC message: a flag, the length, the bytes. */
export function grpcMessage(body: Uint8Array, length = body.length): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, body]);
}

/** What Attach answers. */
export const attachMessage = (event: AttachResponse["event"]): Buffer =>
  grpcMessage(toBinary(AttachResponseSchema, create(AttachResponseSchema, { event })));

/** Ends a call as a server that is content. */
export function endCall(stream: ServerHttp2Stream): void {
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end();
}
