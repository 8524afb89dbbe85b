/** A client of the QEMU Machine Protocol (QEMU docs/interop/qmp-spec.rst) over one connected socket. */
import type { Duplex } from "node:stream";
import { PyroError } from "../../contract/error.ts";
import { withDeadline } from "../../host/deadline.ts";
import { CONNECTION_LOST } from "../vmm-exit.ts";

/** Longest line QEMU may send us; its answers to the commands we use have a few hundred bytes. */
const LINE_BYTES_MAX = 1024 * 1024;

type Data = Readonly<Record<string, unknown>>;

interface Waiting {
  resolve(value: unknown): void;
  reject(reason: PyroError): void;
}

interface Awaited {
  readonly event: string;
  readonly matches: (data: Data) => boolean;
  resolve(data: Data): void;
  reject(reason: PyroError): void;
}

export class QmpClient {
  readonly #socket: Duplex;
  readonly #waiting = new Map<number, Waiting>();
  readonly #awaited = new Set<Awaited>();
  #nextId = 1;
  #buffer = "";
  #failure: PyroError | undefined;
  readonly #greeted: Promise<void>;

  constructor(socket: Duplex) {
    this.#socket = socket;
    this.#greeted = new Promise((resolve, reject) => this.#waiting.set(0, { resolve: () => resolve(), reject }));
    // Nobody may be waiting for the greeting when the socket ends.
    this.#greeted.catch(() => undefined);
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#receive(text));
    const lost = (message: string, cause?: unknown): void =>
      this.#end(new PyroError("vmm_failed", message, { cause, evidence: CONNECTION_LOST }));
    socket.on("error", (cause) => lost("QMP connection failed", cause));
    socket.on("close", () => lost("QEMU closed its control connection"));
    // A socket that was accepted paused stays so until it is told.
    socket.resume();
  }

  /** Waits for QEMU's greeting and leaves negotiation mode. */
  async negotiate(deadlineMs: number): Promise<void> {
    await withDeadline(this.#greeted, deadlineMs, () => unanswered("greeting", deadlineMs));
    await this.execute("qmp_capabilities", {}, deadlineMs);
  }

  /** Executes one command and gives its return value. */
  async execute(command: string, args: Readonly<Record<string, unknown>>, deadlineMs: number): Promise<unknown> {
    if (this.#failure !== undefined) throw this.#failure;
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    try {
      return await withDeadline(answer, deadlineMs, () => unanswered(command, deadlineMs));
    } finally {
      this.#waiting.delete(id);
    }
  }

  /**
   * The data of the next event of this name that matches.
   * @throws PyroError vmm_failed at the deadline, and when the connection ends
   */
  async nextEvent(event: string, matches: (data: Data) => boolean, deadlineMs: number): Promise<Data> {
    if (this.#failure !== undefined) throw this.#failure;
    let awaited: Awaited | undefined;
    const arrival = new Promise<Data>((resolve, reject) => {
      awaited = { event, matches, resolve, reject };
      this.#awaited.add(awaited);
    });
    try {
      return await withDeadline(arrival, deadlineMs, () => unanswered(`event ${event}`, deadlineMs));
    } finally {
      if (awaited !== undefined) this.#awaited.delete(awaited);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    this.#buffer += text;
    if (this.#buffer.length > LINE_BYTES_MAX) {
      this.#end(new PyroError("vmm_failed", `QEMU sent a line of more than ${LINE_BYTES_MAX} bytes`));
      this.#socket.destroy();
      return;
    }
    const lines = this.#buffer.split("\n");
    this.#buffer = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") this.#dispatch(line);
  }

  #dispatch(line: string): void {
    const message = parseMessage(line);
    if (message === undefined) {
      this.#end(
        new PyroError("vmm_failed", "QEMU sent something that is not QMP", { evidence: { line: line.slice(0, 200) } }),
      );
      this.#socket.destroy();
    } else if ("QMP" in message) {
      this.#settle(0, (waiting) => waiting.resolve(undefined));
    } else if (typeof message["event"] === "string") {
      const data = asRecord(message["data"]);
      for (const each of this.#awaited) if (each.event === message["event"] && each.matches(data)) each.resolve(data);
    } else if (typeof message["id"] === "number") {
      this.#settle(message["id"], (waiting) => {
        if ("error" in message) {
          const text = textOf(asRecord(message["error"])["desc"]);
          waiting.reject(new PyroError("vmm_failed", `QEMU refused: ${text}`));
        } else waiting.resolve(message["return"]);
      });
    }
  }

  #settle(id: number, settle: (waiting: Waiting) => void): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (waiting !== undefined) settle(waiting);
  }

  #end(failure: PyroError): void {
    this.#failure ??= failure;
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
    for (const each of this.#awaited) each.reject(this.#failure);
  }
}

function unanswered(what: string, deadlineMs: number): PyroError {
  return new PyroError("vmm_failed", `QMP ${what} did not come within ${deadlineMs} ms`);
}

function parseMessage(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? asRecord(value) : undefined;
  } catch {
    return undefined;
  }
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "for a reason it does not say";
}
