/** The commands that were started, kept beside the record for the server that finds them running. */
import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { readTextIfPresent } from "../host/files.ts";
import { parseJson } from "../host/json.ts";

const FILE_NAME = "called.jsonl";

const calledCommand = z.object({
  /** Its name in the guest. */
  exec_id: z.string(),
  sequence: z.int(),
  command: z.string(),
  cwd: z.string(),
});
export type CalledCommand = z.infer<typeof calledCommand>;

export class CalledCommands {
  readonly #path: string;
  readonly #onFailure: (failure: unknown) => void;
  #writing: Promise<void> = Promise.resolve();

  constructor(directory: string, onFailure: (failure: unknown) => void) {
    this.#path = join(directory, FILE_NAME);
    this.#onFailure = onFailure;
  }

  /**
   * Notes one, soon: it is for a server that was killed, not for a host that went down. `alone`: no other one runs, and what
   * was noted before is of no use any more.
   */
  add(called: CalledCommand, alone: boolean): void {
    const line = `${JSON.stringify(called)}\n`;
    const write = async (): Promise<void> => {
      if (alone) await writeFile(this.#path, line, { mode: 0o600 });
      else await appendFile(this.#path, line, { mode: 0o600 });
    };
    this.#writing = this.#writing.then(write).catch(this.#onFailure);
  }

  /** Those that were noted, by their names in the guest. */
  async read(): Promise<Map<string, CalledCommand>> {
    await this.#writing;
    const lines = ((await readTextIfPresent(this.#path)) ?? "").split("\n");
    return new Map(lines.flatMap(parsed).map((called) => [called.exec_id, called]));
  }

  /** Settles when nothing is being written. */
  async settled(): Promise<void> {
    await this.#writing;
  }
}

/** A line that a kill has cut is left out. */
function parsed(line: string): CalledCommand[] {
  const { data } = calledCommand.safeParse(parseJson(line));
  return data === undefined ? [] : [data];
}
