/** The snapshots of a workspace: named in its record, made and deleted in its volume. */
import { PyroError } from "../contract/error.ts";
import type { MachineLife } from "./machine-life.ts";
import type { PinsView } from "./pins.ts";
import { SnapshotTable, type SnapshotView } from "./snapshots.ts";

export class WorkspaceSnapshots {
  readonly #life: MachineLife;

  constructor(life: MachineLife) {
    this.#life = life;
  }

  /** Those that there are, the baseline first. */
  list(): SnapshotView[] {
    return this.#table().list();
  }

  /** @throws PyroError not_found, naming those there are */
  find(name: string): SnapshotView {
    return this.#table().find(name);
  }

  /** What each snapshot pins, now or as it was at the stop. Waits for no turn. */
  async pins(): Promise<PinsView> {
    return await this.#life.pins.view();
  }

  /** Makes one of the tree as it is. @throws PyroError already_exists, resource_exhausted, invalid_state when it is not started */
  async create(name: string): Promise<SnapshotView> {
    return await this.#life.take(async () => {
      const table = this.#table();
      table.refuse(name);
      const { volume } = this.#life.started();
      if (volume === undefined) throw new PyroError("internal", "a workspace's machine without a volume");
      const { record, state } = await table.create(name, volume);
      try {
        await this.#life.save({
          snapshots: [...this.#life.record.snapshots, record],
          changed: this.#life.isChanged(state),
        });
      } catch (failure) {
        // Otherwise the next start removes it: it is not in the record.
        await volume.deleteSnapshot(record.id).catch(() => undefined);
        throw failure;
      }
      this.#life.active();
      return this.#table().find(name);
    });
  }

  /** From the record first: what the volume still has of it, the next start removes. */
  async delete(name: string): Promise<void> {
    await this.#life.take(async () => {
      const { id } = this.#table().deletable(name);
      this.#life.refusePaused();
      // What it held together with another one is that one's now.
      await this.#life.save({ snapshots: this.#life.record.snapshots.filter((each) => each.id !== id), pins: null });
      await this.#life.machine?.volume?.deleteSnapshot(id);
      this.#life.active();
    });
  }

  #table(): SnapshotTable {
    return new SnapshotTable(this.#life.record);
  }
}
