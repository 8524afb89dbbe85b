/** Has a workspace's guest write what it has in memory. */
import { PyroError } from "../contract/error.ts";
import { withDeadline } from "../host/deadline.ts";
import type { OpenMachine, VolumeState } from "../machine/machine.ts";

/** Writing what a guest has in memory; one that does not answer is ended without. */
const SYNC_DEADLINE_MS = 60_000;

export interface VolumeSyncEvents {
  /** The workspace's machine now; undefined while it is stopped. */
  readonly machine: () => OpenMachine | undefined;
  /** The volume is written, and this is how it is. */
  readonly onState: (state: VolumeState) => Promise<void>;
  readonly onNotice: (notice: string) => void;
}

export class VolumeSync {
  readonly #events: VolumeSyncEvents;
  #last: Promise<void> = Promise.resolve();
  #waits = false;

  constructor(events: VolumeSyncEvents) {
    this.#events = events;
  }

  /** How the volume is, once all is written; undefined when the guest did not do it. */
  async now(machine: OpenMachine, trim: boolean): Promise<VolumeState | undefined> {
    const late = (): PyroError => new PyroError("deadline_exceeded", `no answer within ${SYNC_DEADLINE_MS} ms`);
    try {
      if (machine.volume === undefined) return undefined;
      return await withDeadline(machine.volume.sync({ trim }), SYNC_DEADLINE_MS, late);
    } catch (failure) {
      this.#events.onNotice(`its volume was not written: ${PyroError.from(failure).message}`);
      return undefined;
    }
  }

  /** Has what a command left in the guest's memory written, soon: many commands that end at once are one sync. */
  soon(): void {
    const machine = this.#events.machine();
    if (machine === undefined || this.#waits) return;
    this.#waits = true;
    const before = this.#last;
    this.#last = (async () => {
      await before;
      this.#waits = false;
      await this.#write(machine);
    })();
  }

  /** Settles when nothing is being written. */
  async settled(): Promise<void> {
    await this.#last;
  }

  async #write(machine: OpenMachine): Promise<void> {
    try {
      if (this.#events.machine() !== machine) return;
      const state = await this.now(machine, false);
      if (state !== undefined && this.#events.machine() === machine) await this.#events.onState(state);
    } catch (failure) {
      this.#events.onNotice(`its record: ${PyroError.from(failure).message}`);
    }
  }
}
