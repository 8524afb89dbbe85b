/** What this process asks of VMMs, step by step: calls of Firecracker's API, commands of QEMU's monitor protocol. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ClientRequest } from "node:http";
import { QmpClient } from "../../src/vmm/qemu/qmp.ts";

/** Node tells of each HTTP request of this process on it (node:http). Calls to a guest's agent are HTTP/2, and not told. */
const HTTP_REQUESTS = "http.client.request.start";

export class VmmSteps {
  /** Called at each step, in the moment in which it is asked for. */
  onStep: (step: string) => void = () => undefined;
  #made: string[] = [];
  readonly #execute = QmpClient.prototype.execute;
  readonly #onRequest = (message: unknown): void => {
    const { method, path } = (message as { request: ClientRequest }).request;
    this.#note(`${method} ${path}`);
  };

  constructor() {
    subscribe(HTTP_REQUESTS, this.#onRequest);
    const note = (step: string): void => this.#note(step);
    const execute = this.#execute;
    QmpClient.prototype.execute = async function (this: QmpClient, command, args, deadlineMs) {
      note(command);
      return await execute.call(this, command, args, deadlineMs);
    };
  }

  /** The steps since the last time, in their order. */
  take(): string[] {
    const made = this.#made;
    this.#made = [];
    return made;
  }

  [Symbol.dispose](): void {
    unsubscribe(HTTP_REQUESTS, this.#onRequest);
    QmpClient.prototype.execute = this.#execute;
  }

  #note(step: string): void {
    this.#made.push(step);
    this.onStep(step);
  }
}
