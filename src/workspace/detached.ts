/** Detached commands: those that run, and the last that ended, whose output the guest still keeps. */
import * as z from "zod";
import { PyroError } from "../contract/error.ts";
import { parseJson } from "../host/json.ts";
import type { ExecOutcome, KeepRequest, KeptExec } from "../machine/machine.ts";

/** What a guest keeps of each stream of a detached command. */
const KEPT_BYTES = 1024 * 1024;
/** Detached commands that have ended and are kept: with KEPT_BYTES this bounds what they take of a guest's memory. */
const ENDED_MAX = 16;
/** Of a long command only the beginning is noted. */
const NOTED_CHARS_MAX = 2048;

const detachedNote = z.object({
  sequence: z.int().min(1),
  /** As it is shown. */
  command: z.string(),
  cwd: z.string(),
  /** RFC 3339 time. */
  startedAt: z.iso.datetime(),
});

/** What is said of a detached command, and all that the host has of it: the guest keeps it too, as the command's note. */
export type DetachedNote = Readonly<z.infer<typeof detachedNote>>;

export interface DetachedCommand extends DetachedNote {
  readonly execId: string;
  /** Undefined: it runs. */
  readonly outcome: ExecOutcome | undefined;
}

interface Entry {
  readonly note: DetachedNote;
  readonly kept: KeptExec;
  outcome: ExecOutcome | undefined;
}

/** How the guest is to keep it. */
export function keepRequest(note: DetachedNote): KeepRequest {
  const noted = { ...note, command: note.command.slice(0, NOTED_CHARS_MAX) };
  return { bytes: KEPT_BYTES, note: new TextEncoder().encode(JSON.stringify(noted)) };
}

/** The note of a command that a guest knows; undefined: it is none of a detached command. */
export function noteOf(bytes: Uint8Array): DetachedNote | undefined {
  return detachedNote.safeParse(parseJson(new TextDecoder().decode(bytes))).data;
}

/** The detached commands of the machine that a workspace has now, in the order of their starts. */
export class DetachedCommands {
  readonly #entries = new Map<string, Entry>();

  /** One that was started; `outcome` is its end, and rejects when the machine does not say it. */
  add(note: DetachedNote, kept: KeptExec, outcome: Promise<ExecOutcome>): DetachedCommand {
    const entry: Entry = { note, kept, outcome: undefined };
    this.#entries.set(kept.id, entry);
    outcome.then(
      (ended) => {
        entry.outcome = ended;
        this.#forgetOldest();
      },
      // With its machine, mostly: there is nothing left to come back to.
      () => this.#entries.delete(kept.id),
    );
    return viewOf(entry);
  }

  list(): DetachedCommand[] {
    return [...this.#entries.values()].map(viewOf);
  }

  /** @throws PyroError not_found */
  find(execId: string): { view: () => DetachedCommand; kept: KeptExec } {
    const entry = this.#entries.get(execId);
    if (entry === undefined) {
      throw new PyroError("not_found", `there is no detached command ${execId}`, {
        remedy: "pyro workspace command list; what ended before is in pyro workspace logs",
      });
    }
    return { view: () => viewOf(entry), kept: entry.kept };
  }

  /** Their machine is gone. */
  clear(): void {
    this.#entries.clear();
  }

  #forgetOldest(): void {
    const ended = [...this.#entries.values()].filter(({ outcome }) => outcome !== undefined);
    for (const { kept } of ended.slice(0, Math.max(ended.length - ENDED_MAX, 0))) {
      this.#entries.delete(kept.id);
      // A machine that is gone has forgotten it too.
      kept.release().catch(() => undefined);
    }
  }
}

function viewOf({ note, kept, outcome }: Entry): DetachedCommand {
  return { ...note, execId: kept.id, outcome };
}
