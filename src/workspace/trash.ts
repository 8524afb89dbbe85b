/** Deleted workspaces: whole directories that are kept for a while. */
import { mkdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { TRASH_DAYS } from "../contract/limits.ts";
import { syncDirectory } from "../host/files.ts";
import { readRecords, type WorkspaceRecord, writeRecord } from "./record.ts";
import { removeParts, removeWhole } from "./whole-directory.ts";

const KEPT_FOR_MS = TRASH_DAYS * 86_400_000;

export class Trash {
  readonly #directory: string;
  readonly #now: () => number;

  constructor(directory: string, now: () => number = Date.now) {
    this.#directory = directory;
    this.#now = now;
  }

  /** Removes what a server that was killed has left half removed, and what is too old: for the beginning of a server. */
  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await removeParts(this.#directory);
    await this.list();
  }

  /** Takes in the workspace that lies in `directory`. */
  async put(directory: string, record: WorkspaceRecord): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    // In the record first: one that says so and is not moved yet is moved when a server starts.
    await writeRecord(directory, { ...record, deleted_at: new Date(this.#now()).toISOString() });
    await move(directory, join(this.#directory, record.id));
  }

  /** Gives the workspace back to `directory`, with this record. */
  async take(record: WorkspaceRecord, directory: string): Promise<void> {
    const place = join(this.#directory, record.id);
    await move(place, directory);
    await writeRecord(directory, record);
  }

  /** What can be restored; what is too old is removed now. */
  async list(): Promise<WorkspaceRecord[]> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const { records } = await readRecords(this.#directory);
    const kept: WorkspaceRecord[] = [];
    for (const record of records) {
      const age = this.#now() - Date.parse(record.deleted_at ?? "");
      // One whose time cannot be read is kept: that loses nothing.
      if (age > KEPT_FOR_MS) await this.purge(record.id);
      else kept.push(record);
    }
    return kept;
  }

  /** Whether it has workspaces of which nobody can say what they need. */
  async hasUnreadable(): Promise<boolean> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    return (await readRecords(this.#directory)).unreadable.length > 0;
  }

  async purge(id: string): Promise<void> {
    await removeWhole(join(this.#directory, id));
  }
}

async function move(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncDirectory(dirname(to));
  await syncDirectory(dirname(from));
}
