/** What this process asks of VMMs, step by step: calls of Firecracker's API, commands of QEMU's monitor protocol. */
import { ClientRequest } from "node:http";
import { QmpClient } from "../../src/vmm/qemu/qmp.ts";

export class VmmSteps {
  /** Called at each step, in the moment in which it is asked for. */
  onStep: (step: string) => void = () => undefined;
  #made: string[] = [];
  readonly #execute = QmpClient.prototype.execute;
  readonly #end = ClientRequest.prototype.end;

  constructor() {
    const note = (step: string): void => this.#note(step);
    const end = this.#end;
    // Before anything is sent: what Node itself tells of a request comes when it is on its way, and a VMM may have answered it.
    ClientRequest.prototype.end = function (this: ClientRequest, ...parts: unknown[]) {
      note(`${this.method} ${this.path}`);
      return Reflect.apply(end, this, parts) as ClientRequest;
    };
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
    ClientRequest.prototype.end = this.#end;
    QmpClient.prototype.execute = this.#execute;
  }

  #note(step: string): void {
    this.#made.push(step);
    this.onStep(step);
  }
}
