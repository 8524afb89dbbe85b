/** HTTP requests to the server's socket, and what can be known of them when they fail. */
import {
  Agent,
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
  type RequestOptions,
} from "node:http";
import { dirname } from "node:path";
import type { Readable } from "node:stream";
import { PyroError } from "../contract/error.ts";
import { BUILD_VERSION } from "../contract/version.ts";
import {
  SETTINGS_HEADER,
  SETTINGS_MISMATCH_STATUS,
  VERSION_HEADER,
  VERSION_MISMATCH_STATUS,
} from "../contract/wire.ts";
import { isErrno } from "../host/files.ts";
import { checkPrivateDirectory } from "../host/private-directory.ts";
import { cancelled } from "./cancel.ts";
import { isAbsent, NotDone } from "./not-done.ts";

/** How long a connection is kept for the next call. It keeps neither this process nor the server alive. */
const KEPT_CONNECTION_MS = 10_000;

export interface SocketRequest {
  readonly method: "GET" | "POST" | "PUT";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body?: string | Readable | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The server has begun: from here on the request may have had an effect. */
  readonly onAccepted?: (() => void) | undefined;
}

export class Connection {
  readonly socketPath: string;
  readonly #settings: string;
  readonly #agent = new Agent({ keepAlive: true, timeout: KEPT_CONNECTION_MS });
  #checked = false;

  /** `settings`: the digest of those that a server must have to serve this client. */
  constructor(socketPath: string, settings: string) {
    this.socketPath = socketPath;
    this.#settings = settings;
  }

  /**
   * Sends a request and gives the response, its body unread.
   * @throws NotDone when it had no effect; PyroError server_unavailable when that is unknown, cancelled, permission_denied
   */
  async send(options: SocketRequest): Promise<IncomingMessage> {
    if (options.signal?.aborted === true) throw cancelled(options.signal);
    this.#checkDirectory();
    const head: RequestOptions & { servername: string } = {
      socketPath: this.socketPath,
      agent: this.#agent,
      // Else Node works out a TLS server name for every request, with expressions that take 5 ms to compile.
      servername: "",
      method: options.method,
      path: options.path,
      headers: { ...options.headers, [VERSION_HEADER]: BUILD_VERSION, [SETTINGS_HEADER]: this.#settings },
    };
    const request = httpRequest(head);
    // The agent's time limit is for idle connections; a call may be silent for as long as its command is.
    request.setTimeout(0);
    const abort = (): void => void request.destroy();
    options.signal?.addEventListener("abort", abort, { once: true });
    request.once("close", () => options.signal?.removeEventListener("abort", abort));
    sendBody(request, options.body);
    try {
      return await responseTo(request, options);
    } catch (failure) {
      // A kept connection ended with its server before this process could notice: whether there is one now is not yet known.
      const again = request.reusedSocket && isAbsent(failure) && typeof options.body !== "object";
      if (!again) throw failure;
    }
    return await this.send(options);
  }

  /** Whoever can put a socket there would get the commands and their input. */
  #checkDirectory(): void {
    if (!this.#checked) checkPrivateDirectory(dirname(this.socketPath), "PYRO_RUNTIME_DIR");
    this.#checked = true;
  }

  /** Ends all connections, idle or not. */
  close(): void {
    this.#agent.destroy();
  }
}

/** What a failure after the server had begun means. */
export function outcomeUnknown(cause: unknown): PyroError {
  return new PyroError(
    "server_unavailable",
    "the pyro server ended before it answered; how far the call had come is unknown",
    {
      cause,
      remedy: "look at what was done before you run it again; its log may say why: `pyro server status` names it",
    },
  );
}

function sendBody(request: ClientRequest, body: string | Readable | undefined): void {
  if (body === undefined || typeof body === "string") request.end(body);
  else {
    // The server waits for the stream, and its first byte may be long in coming.
    request.flushHeaders();
    body.pipe(request);
  }
}

async function responseTo(request: ClientRequest, { signal, onAccepted }: SocketRequest): Promise<IncomingMessage> {
  let accepted = false;
  const accept = (): void => {
    if (!accepted) onAccepted?.();
    accepted = true;
  };
  return await new Promise<IncomingMessage>((resolve, reject) => {
    request.on("information", accept);
    request.on("response", (response) => {
      const mismatch = mismatchOf(response);
      if (mismatch !== undefined) {
        response.resume();
        reject(mismatch);
        return;
      }
      accept();
      resolve(response);
    });
    request.on("error", (cause) => {
      if (signal?.aborted === true) reject(cancelled(signal));
      else if (accepted) reject(outcomeUnknown(cause));
      else reject(beforeAnything(cause));
    });
  });
}

/** What the answer of a server says that is not one for this client. */
function mismatchOf({ statusCode, headers }: IncomingMessage): NotDone | undefined {
  const [version, settings] = [headers[VERSION_HEADER], headers[SETTINGS_HEADER]];
  if (statusCode === VERSION_MISMATCH_STATUS)
    return new NotDone("version", typeof version === "string" ? { serverVersion: version } : {});
  if (statusCode === SETTINGS_MISMATCH_STATUS)
    return new NotDone("settings", typeof settings === "string" ? { serverSettings: settings } : {});
  return undefined;
}

function beforeAnything(cause: Error): Error {
  if (!isErrno(cause, "EACCES") && !isErrno(cause, "EPERM")) return new NotDone("absent", { cause });
  return new PyroError("permission_denied", "the pyro server's socket cannot be opened", {
    cause,
    remedy: "set PYRO_RUNTIME_DIR to a directory of your own",
  });
}
