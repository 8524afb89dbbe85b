/** Client of Firecracker's API: HTTP over a Unix socket in the machine's directory (Firecracker, swagger/firecracker.yaml). */
import { type FSWatcher, watch } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import type { Socket } from "node:net";
import { join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { withDeadline } from "../../host/deadline.ts";
import { isErrno } from "../../host/files.ts";
import { CONNECTION_LOST, MEMORY_REMEDY } from "../vmm-exit.ts";
import { connectInside } from "./socket.ts";

/** Firecracker's answers have a few hundred bytes. */
const ANSWER_BYTES_MAX = 64 * 1024;
/** Between the socket's name and its listener lie microseconds, and nothing tells of listen(2). */
const LISTEN_PAUSE_MS = 1;

/** ENOMEM as Rust's standard library says it. */
const OUT_OF_MEMORY = /\(os error 12\)/;

/** One call of the API. */
export interface ApiCall {
  readonly method: "PUT" | "PATCH";
  readonly path: string;
  readonly body: object;
}

export interface FirecrackerApi {
  /**
   * Makes one call; it is never made twice.
   * @throws PyroError vmm_failed when Firecracker refuses (its reason is the cause), does not answer within the deadline, or
   * answers something else; resource_exhausted when it refuses for want of memory
   */
  call(call: ApiCall, deadlineMs: number): Promise<void>;
  close(): void;
}

/**
 * Connects to the API socket of a VMM that was just started in `directory`, waiting until it is there.
 * @throws PyroError vmm_failed at the deadline
 */
export async function openApi(directory: string, name: string, deadlineMs: number): Promise<FirecrackerApi> {
  const path = join(directory, name);
  const changes = new DirectoryChanges(directory);
  try {
    const late = (): PyroError =>
      new PyroError("vmm_failed", `Firecracker did not open its API socket within ${deadlineMs} ms`);
    return apiOver(await withDeadline(connectWhenThere(path, changes), deadlineMs, late), path);
  } finally {
    changes.close();
  }
}

async function connectWhenThere(path: string, changes: DirectoryChanges): Promise<Socket> {
  for (;;) {
    const change = changes.next();
    try {
      return await connectInside(path);
    } catch (cause) {
      if (changes.closed) throw new PyroError("vmm_failed", "Firecracker's API socket is not waited for any more");
      if (isErrno(cause, "ENOENT")) await change;
      else if (isErrno(cause, "ECONNREFUSED")) await new Promise((resolve) => setTimeout(resolve, LISTEN_PAUSE_MS));
      else throw unusable(cause);
    }
  }
}

/** Wakes whoever waits when an entry of a directory comes, goes or changes. */
class DirectoryChanges {
  closed = false;
  readonly #watcher: FSWatcher;
  #wake: () => void = () => undefined;

  constructor(directory: string) {
    this.#watcher = watch(directory, () => this.#wake());
    // The directory went: whoever waits meets its deadline, or the VMM's end.
    this.#watcher.on("error", () => undefined);
  }

  /** Settles at the first change after this call, and at the close. */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  close(): void {
    this.closed = true;
    this.#watcher.close();
    this.#wake();
  }
}

/** The first call takes the connection that was waited for, each other one has its own. */
function apiOver(first: Socket, path: string): FirecrackerApi {
  let waiting: Socket | undefined = first;
  // An error closes it, and the call that takes it says so.
  first.on("error", () => undefined);
  return {
    call: async (call, deadlineMs) => {
      const socket = waiting ?? (await connectAgain(path));
      waiting = undefined;
      const { status, text } = await exchange(socket, call, deadlineMs);
      if (status >= 200 && status < 300) return;
      throw refused(call, status, faultMessage(text));
    },
    close: () => waiting?.destroy(),
  };
}

async function connectAgain(path: string): Promise<Socket> {
  return await connectInside(path).catch((cause: unknown) => Promise.reject(unusable(cause)));
}

function unusable(cause: unknown): PyroError {
  if (PyroError.is(cause)) return cause;
  return new PyroError("vmm_failed", "Firecracker's API socket cannot be used", { cause, evidence: CONNECTION_LOST });
}

/** What Firecracker says is not the guest's to choose. */
function refused({ method, path }: ApiCall, status: number, fault: string): PyroError {
  const isFull = OUT_OF_MEMORY.test(fault);
  return new PyroError(isFull ? "resource_exhausted" : "vmm_failed", `Firecracker refused ${method} ${path}`, {
    cause: fault,
    ...(isFull ? { remedy: MEMORY_REMEDY } : {}),
    evidence: { status, fault_message: fault },
  });
}

async function exchange(socket: Socket, call: ApiCall, deadlineMs: number): Promise<{ status: number; text: string }> {
  const what = `${call.method} ${call.path}`;
  const answer = new Promise<{ status: number; text: string }>((resolve, reject) => {
    const body = JSON.stringify(call.body);
    const failed = (cause: unknown): void =>
      reject(
        new PyroError("vmm_failed", `Firecracker gave no answer to ${what} that is HTTP`, {
          cause,
          evidence: CONNECTION_LOST,
        }),
      );
    const outgoing = request({
      createConnection: () => socket,
      method: call.method,
      path: call.path,
      headers: {
        host: "localhost",
        accept: "application/json",
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
      },
    });
    outgoing.once("error", failed);
    outgoing.once("response", (incoming) => {
      readText(incoming).then((text) => resolve({ status: incoming.statusCode ?? 0, text }), failed);
    });
    outgoing.end(body);
  });
  try {
    return await withDeadline(
      answer,
      deadlineMs,
      () => new PyroError("vmm_failed", `Firecracker did not answer ${what} within ${deadlineMs} ms`),
    );
  } finally {
    socket.destroy();
  }
}

/** All of an answer. By its events: an iterator over the stream shows in the time of a start. */
async function readText(incoming: IncomingMessage): Promise<string> {
  return await new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    incoming.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes > ANSWER_BYTES_MAX) incoming.destroy(new Error(`an answer of more than ${ANSWER_BYTES_MAX} bytes`));
    });
    incoming.once("end", () => resolve(Buffer.concat(chunks).toString()));
    incoming.once("error", reject);
  });
}

/** Firecracker's own words, or all that it answered. */
function faultMessage(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && "fault_message" in value) return String(value.fault_message);
  } catch {
    // Shown as it is.
  }
  return text.slice(0, 1024);
}
