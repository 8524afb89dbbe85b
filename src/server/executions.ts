import type { Exec, TerminalSize } from "../machine/machine.ts";

/** The commands that run now under a stream id, so that signals and sizes of terminals reach them. */
export class Executions {
  readonly #running = new Map<string, Exec>();

  /** Registers a command; the returned function takes it out again. */
  add(streamId: string, exec: Exec): () => void {
    this.#running.set(streamId, exec);
    return () => void this.#running.delete(streamId);
  }

  /** Sends a Linux signal; false when no command runs under this id. */
  async signal(streamId: string, number: number): Promise<boolean> {
    return (await this.#running.get(streamId)?.signal(number)) ?? false;
  }

  /** Changes the size of a terminal; false when no command with one runs under this id. */
  async resize(streamId: string, size: TerminalSize): Promise<boolean> {
    return (await this.#running.get(streamId)?.resize(size)) ?? false;
  }
}
