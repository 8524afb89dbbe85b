/** What each snapshot of a workspace pins: counted in its guest when somebody asks, and before it stops. */
import { PyroError } from "../contract/error.ts";
import type { Paused } from "../contract/workspace.ts";
import type { OpenMachine } from "../machine/machine.ts";
import type { WorkspaceRecord } from "./record.ts";

/** How long whoever asks may wait. */
const ASKED_LIMIT_MS = 2000;
/** How long a stop may take longer for it. */
const STOP_LIMIT_MS = 1000;

export interface PinsView {
  /** RFC 3339 time; null: not known. */
  readonly countedAt: string | null;
  /** Why it is not known. */
  readonly unknown: string | null;
  /** Without the baseline, which cannot be deleted. Null: not known. */
  readonly pins: readonly { readonly name: string; readonly bytes: number | null }[];
}

interface Now {
  readonly record: WorkspaceRecord;
  readonly machine: OpenMachine | undefined;
  readonly paused: Paused | undefined;
}

export class Pins {
  readonly #now: () => Now;
  /** Whoever asks meanwhile gets the same count. */
  #counting: Promise<PinsView> | undefined;

  constructor(now: () => Now) {
    this.#now = now;
  }

  /** Never fails: what cannot be counted is not known, and why is said. */
  async view(): Promise<PinsView> {
    const { record, machine, paused } = this.#now();
    if (record.snapshots.length === 0) return { countedAt: null, unknown: null, pins: [] };
    if (machine === undefined) {
      if (record.pins === null) return viewOf(record, { why: "it was not counted when the workspace was stopped" });
      return viewOf(record, record.pins);
    }
    if (paused !== undefined) return viewOf(record, { why: "the workspace is paused" });
    this.#counting ??= this.#count(machine).finally(() => (this.#counting = undefined));
    return await this.#counting;
  }

  /** For the record of a workspace whose machine is about to end; null: not known. */
  async atStop(machine: OpenMachine): Promise<WorkspaceRecord["pins"]> {
    const { record } = this.#now();
    if (record.snapshots.length === 0) return null;
    const counted = await counting(machine, record, STOP_LIMIT_MS);
    return "why" in counted ? null : counted;
  }

  async #count(machine: OpenMachine): Promise<PinsView> {
    const counted = await counting(machine, this.#now().record, ASKED_LIMIT_MS);
    // Some may have been made or deleted meanwhile.
    return viewOf(this.#now().record, counted);
  }
}

type Counted = NonNullable<WorkspaceRecord["pins"]> | { readonly why: string };

async function counting({ volume }: OpenMachine, { snapshots }: WorkspaceRecord, limitMs: number): Promise<Counted> {
  try {
    const ids = snapshots.map(({ id }) => id);
    const counted = await volume?.countPins(ids, limitMs);
    if (counted === undefined) return { why: `not counted to the end within ${limitMs} ms` };
    return { at: new Date().toISOString(), bytes: Object.fromEntries(counted) };
  } catch (failure) {
    return { why: PyroError.from(failure).message };
  }
}

function viewOf({ snapshots }: WorkspaceRecord, counted: Counted): PinsView {
  const [why, at, bytes] = "why" in counted ? [counted.why, null, {}] : [null, counted.at, counted.bytes];
  const known: Readonly<Record<string, number>> = bytes;
  return { countedAt: at, unknown: why, pins: snapshots.map(({ id, name }) => ({ name, bytes: known[id] ?? null })) };
}
