import { type WorkspaceRecord, writeRecord } from "./record.ts";

/** A record in memory and on the disk. */
export class SavedRecord {
  readonly #directory: string;
  #value: WorkspaceRecord;
  #saving: Promise<void> = Promise.resolve();

  constructor(directory: string, value: WorkspaceRecord) {
    this.#directory = directory;
    this.#value = value;
  }

  get value(): WorkspaceRecord {
    return this.#value;
  }

  /** Changes it durably; changes come one after the other, and each sees those before. */
  async save(change: Partial<WorkspaceRecord>): Promise<void> {
    this.#saving = this.settled().then(async () => {
      await writeRecord(this.#directory, { ...this.#value, ...change });
      this.note(change);
    });
    await this.#saving;
  }

  /** Changes it in memory; it comes to the disk with the next that is saved, and may be lost with the server. */
  note(change: Partial<WorkspaceRecord>): void {
    this.#value = { ...this.#value, ...change };
  }

  /** Settles when nothing is being written. */
  async settled(): Promise<void> {
    // Whoever saved it has its failure.
    await this.#saving.catch(() => undefined);
  }
}
