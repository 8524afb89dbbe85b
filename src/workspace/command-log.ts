/** What ran in a workspace: one line of JSON for each command, beside the record, bounded. */
import { appendFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { readTextIfPresent } from "../host/files.ts";
import { parseJson } from "../host/json.ts";
import type { LoggedCommand } from "../contract/workspace.ts";

const LOG_NAME = "commands.jsonl";
/** Past this the file becomes the older one, of which there is one: both together hold less than twice of it. */
const LOG_BYTES_MAX = 8 * 1024 * 1024;

export class CommandLog {
  readonly #path: string;
  readonly #olderPath: string;
  #writing: Promise<void> = Promise.resolve();

  constructor(directory: string) {
    this.#path = join(directory, LOG_NAME);
    this.#olderPath = join(directory, `${LOG_NAME}.1`);
  }

  /** Adds a command; entries are written in the order of these calls. */
  async add(entry: LoggedCommand): Promise<void> {
    this.#writing = this.#writing.catch(() => undefined).then(async () => await this.#write(entry));
    await this.#writing;
  }

  /** All commands that are kept, oldest first. A line that a crash has cut is left out. */
  async read(): Promise<LoggedCommand[]> {
    await this.#writing.catch(() => undefined);
    const texts = [await readTextIfPresent(this.#olderPath), await readTextIfPresent(this.#path)];
    return texts.flatMap((text) => (text ?? "").split("\n").flatMap(parsed));
  }

  /** Forgets all: the workspace is another one. */
  async clear(): Promise<void> {
    await this.#writing.catch(() => undefined);
    await rm(this.#olderPath, { force: true });
    await rm(this.#path, { force: true });
  }

  async #write(entry: LoggedCommand): Promise<void> {
    const size = (await stat(this.#path).catch(() => undefined))?.size ?? 0;
    if (size > LOG_BYTES_MAX) await rename(this.#path, this.#olderPath);
    // A line that a crash has cut must not take this one with it.
    await appendFile(this.#path, `\n${JSON.stringify(entry)}\n`, { mode: 0o600 });
  }
}

function parsed(line: string): LoggedCommand[] {
  const entry = parseJson(line) as LoggedCommand | undefined;
  return entry === undefined ? [] : [entry];
}
