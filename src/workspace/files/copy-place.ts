/**
 * Where copies to and from this host keep what they need meanwhile: `copying/` in the state directory. Whatever is there when a server starts
 * is what a server that was killed has left.
 *
 * `sync-*` are archives that are unpacked, `pull-*` bundles. `export-*.json` says where an export is being made, beside its target, and is
 * written before that is: pyro-seed removes what it could not finish, unless it is killed as well.
 */
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { PyroError } from "../../contract/error.ts";
import { writeFileDurably } from "../../host/files.ts";
import { readJson } from "../../host/json.ts";
import { runProgram } from "../../host/process.ts";

/** As much as a volume holds, on a slow disk. */
const DISCARD_DEADLINE_MS = 3_600_000;
/** A directory that is not there may be on a disk that is not: for so long. */
const RECORD_MS_MAX = 30 * 24 * 3_600_000;
/** Exit status of pyro-seed (seed/src/main.rs): somebody is still at it. */
const IN_USE = 75;

const exportRecord = z.object({
  version: z.literal(1),
  /** Absolute path of the directory that the target is in. */
  directory: z.string(),
  /** Name there of the place in which it is made. */
  fresh: z.string(),
});

type ExportRecord = z.infer<typeof exportRecord>;

export interface CopyPlaceOptions {
  /** Of pyro's state. */
  readonly state: string;
  /** pyro-seed. */
  readonly program: () => Promise<string>;
  readonly onNotice: (notice: string) => void;
}

export class CopyPlace {
  readonly #options: CopyPlaceOptions;
  readonly #directory: string;
  readonly #closing = new AbortController();
  #discarding: Promise<void> = Promise.resolve();

  constructor(options: CopyPlaceOptions) {
    this.#options = options;
    this.#directory = join(options.state, "copying");
  }

  /** A directory of pyro's own. */
  async scratch(): Promise<string> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    return this.#directory;
  }

  /** Removes what was left of syncs and pulls, and begins to remove what was left of exports. */
  async removeLeft(): Promise<void> {
    const names = await readdir(this.#directory).catch(() => []);
    const records = names.filter((name) => name.startsWith("export-") && name.endsWith(".json"));
    for (const name of names.filter((each) => !records.includes(each))) {
      await rm(join(this.#directory, name), { recursive: true, force: true });
    }
    // On a disk that does not answer this takes as long as it takes: nobody waits for it but the end.
    this.#discarding = this.#discardAll(records.map((name) => join(this.#directory, name)));
  }

  /** Remembers where an export is made. */
  async remember(directory: string, fresh: string): Promise<void> {
    const record: ExportRecord = { version: 1, directory, fresh };
    await writeFileDurably(this.#recordPath(await this.scratch(), fresh), JSON.stringify(record));
  }

  /** Nothing is left of it. */
  async forget(fresh: string): Promise<void> {
    await rm(this.#recordPath(this.#directory, fresh), { force: true });
  }

  /** Removes what a pyro-seed that was killed has left; what cannot be is left to the next server. */
  async discard(directory: string, fresh: string): Promise<void> {
    if ((await this.#discarded({ version: 1, directory, fresh })) === "gone") await this.forget(fresh);
  }

  /** Lets go of what is being removed. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#discarding;
  }

  #recordPath(directory: string, fresh: string): string {
    return join(directory, `export-${fresh.replaceAll("/", "")}.json`);
  }

  async #discardAll(paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      if (this.#closing.signal.aborted) return;
      const record = exportRecord.safeParse(await readJson(path)).data;
      const outcome = record === undefined ? "gone" : await this.#discarded(record);
      const isOld = async (): Promise<boolean> => Date.now() - (await stat(path)).mtimeMs > RECORD_MS_MAX;
      if (outcome === "gone" || (await isOld().catch(() => false))) await rm(path, { force: true });
    }
  }

  async #discarded({ directory, fresh }: ExportRecord): Promise<"gone" | "there"> {
    const options = { deadlineMs: DISCARD_DEADLINE_MS, env: { LC_ALL: "C" }, cwd: "/", signal: this.#closing.signal };
    try {
      const program = await this.#options.program();
      const { code, stderr } = await runProgram(program, ["discard", directory, fresh], options);
      if (code === 0) return "gone";
      if (code !== IN_USE) this.#options.onNotice(`${join(directory, fresh)} is left of an export: ${stderr.trim()}`);
    } catch (failure) {
      const { code, message } = PyroError.from(failure);
      if (code !== "cancelled") this.#options.onNotice(`${join(directory, fresh)} is left of an export: ${message}`);
    }
    return "there";
  }
}
