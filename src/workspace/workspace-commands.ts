/** The commands of a workspace: each begins in a turn, and goes on beside what comes after. */
import type { LoggedCommand } from "../contract/workspace.ts";
import type { ExecRequest } from "../machine/machine.ts";
import type { CommandMachine } from "./commands.ts";
import type { DetachedCommand, DetachedCommands } from "./detached.ts";
import type { MachineLife } from "./machine-life.ts";

export class WorkspaceCommands {
  readonly #life: MachineLife;

  constructor(life: MachineLife) {
    this.#life = life;
  }

  /** The next command's machine and number; `text` is how it is shown. @throws PyroError invalid_state when it is not started */
  async next(text: string, signal: AbortSignal): Promise<{ machine: CommandMachine; sequence: number }> {
    return await this.#life.take(async () => {
      const machine = this.#life.started();
      return await Promise.resolve(this.#life.commands.next(machine, this.#life.shown(machine, text)));
    }, signal);
  }

  /** Starts a command that goes on without its caller. @throws PyroError as `next` */
  async detach(
    text: string,
    request: Omit<ExecRequest, "stdin" | "onOutput">,
    signal: AbortSignal,
  ): Promise<DetachedCommand> {
    const { command, started } = await this.#life.take(async () => {
      const machine = this.#life.started();
      return await Promise.resolve(this.#life.commands.detach(machine, request, this.#life.shown(machine, text)));
    }, signal);
    await started;
    return command;
  }

  /** Its detached commands, while it is started; those of the server before too. */
  async detached(): Promise<DetachedCommands> {
    await this.#life.adopted();
    return this.#life.commands.detached;
  }

  async logged(): Promise<LoggedCommand[]> {
    return await this.#life.log.read();
  }
}
