/** The snapshots of one workspace by their names, the baseline among them. */
import { PyroError } from "../contract/error.ts";
import { SNAPSHOTS_MAX } from "../contract/limits.ts";
import { BASELINE_NAME } from "../contract/workspace.ts";
import type { MachineVolume, VolumeState } from "../machine/machine.ts";
import { newSnapshotId, type SnapshotRecord, type WorkspaceRecord } from "./record.ts";

export interface SnapshotView {
  /** Its name in the volume. */
  readonly id: string;
  readonly name: string;
  readonly kind: "baseline" | "named";
  readonly createdAt: string;
  readonly entryCount: number;
  readonly bytes: number;
  readonly countedAll: boolean;
}

export class SnapshotTable {
  readonly #record: WorkspaceRecord;

  constructor(record: WorkspaceRecord) {
    this.#record = record;
  }

  list(): SnapshotView[] {
    return [this.#baseline(), ...this.#record.snapshots.map(viewOf)];
  }

  /** @throws PyroError not_found, naming those there are */
  find(name: string): SnapshotView {
    const found = this.list().find((each) => each.name === name);
    if (found !== undefined) return found;
    const names = this.list().map((each) => each.name);
    throw new PyroError("not_found", `the workspace has no snapshot ${name}`, { remedy: `it has ${names.join(", ")}` });
  }

  /** @throws PyroError invalid_argument for the baseline, invalid_state while a reset to it is pending, not_found */
  deletable(name: string): SnapshotView {
    const found = this.find(name);
    if (this.#record.pending_reset === name) {
      throw new PyroError("invalid_state", `the workspace is being reset to ${name}, which was not finished`, {
        remedy: `finish it: pyro workspace start ${this.#record.id}`,
      });
    }
    if (found.kind === "named") return found;
    throw new PyroError("invalid_argument", "the baseline cannot be deleted: changes are told from it");
  }

  /** Refuses a name for a new snapshot. @throws PyroError already_exists, resource_exhausted */
  refuse(name: string): void {
    if (this.list().some((each) => each.name === name)) {
      throw new PyroError("already_exists", `the workspace has a snapshot ${name}`, {
        remedy: "choose another name, or delete that one",
      });
    }
    if (this.#record.snapshots.length >= SNAPSHOTS_MAX) {
      throw new PyroError("resource_exhausted", `a workspace has at most ${SNAPSHOTS_MAX} snapshots`, {
        remedy: `delete some: pyro workspace snapshot delete ${this.#record.id} NAME`,
      });
    }
  }

  /** Has one made in the volume; nobody knows of it until it is in the record. */
  async create(name: string, volume: MachineVolume): Promise<{ record: SnapshotRecord; state: VolumeState }> {
    const id = newSnapshotId();
    const { volume: state, tree } = await volume.createSnapshot(id);
    const record = {
      id,
      name,
      created_at: new Date().toISOString(),
      entry_count: tree.entries,
      bytes: tree.bytes,
      counted_all: tree.complete,
    };
    return { record, state };
  }

  /** What the workspace began with: its seed, or nothing. */
  #baseline(): SnapshotView {
    return {
      id: BASELINE_NAME,
      name: BASELINE_NAME,
      kind: "baseline",
      createdAt: this.#record.created_at,
      entryCount: this.#record.seed?.entry_count ?? 0,
      bytes: this.#record.seed?.bytes ?? 0,
      countedAll: true,
    };
  }
}

function viewOf(record: SnapshotRecord): SnapshotView {
  const { id, name, created_at: createdAt, entry_count: entryCount, bytes, counted_all: countedAll } = record;
  return { id, name, kind: "named", createdAt, entryCount, bytes, countedAll };
}
