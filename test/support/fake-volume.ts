/** A volume without a guest: what was asked of it, and a tree that is one number. */
import { PyroError } from "../../src/contract/error.ts";
import type { MachineVolume, TreeSummary, VolumeRequest, VolumeState } from "../../src/machine/machine.ts";

const NOTHING_CHANGED: TreeSummary = {
  added: 0,
  modified: 0,
  deleted: 0,
  typeChanged: 0,
  textPatched: 0,
  nonText: 0,
  renamed: 0,
  ignored: 0,
  lost: {},
  headFrom: undefined,
  headTo: undefined,
};

import { FakeFiles } from "./fake-files.ts";

/** What lies in a volume's file, for all machines that open it. */
export class FakeDisk {
  generation = 1;
  /** One + for each change. */
  tree = "";
  readonly #trees = new Map<string, string>();
  readonly snapshots = new Set<string>();
  /** What is thrown by the next call of this name. */
  readonly failures = new Map<"sync" | "createSnapshot" | "countPins" | "grow" | "prepare", PyroError>();
  readonly calls: string[] = [];
  /** What every snapshot pins; undefined: it is not counted to the end. */
  pinnedBytes: number | undefined = 4096;
  readonly #files = new FakeFiles(() => {
    this.generation += 1;
    return this.#state();
  });

  /** As the guest does when it is configured. */
  prepare({ snapshotIds, resetTo }: VolumeRequest): void {
    this.#fail("prepare");
    for (const id of this.snapshots) if (!snapshotIds.includes(id)) this.snapshots.delete(id);
    if (resetTo === undefined) return;
    this.calls.push(`reset ${resetTo}`);
    this.tree = this.#trees.get(resetTo) ?? "";
    this.generation += 1;
  }

  volume(step: () => Promise<void> = async () => await Promise.resolve()): MachineVolume {
    return {
      opened: this.#state(),
      files: this.#files,
      createSnapshot: async (id) => {
        this.#fail("createSnapshot");
        await step();
        this.snapshots.add(id);
        this.#trees.set(id, this.tree);
        await step();
        return { volume: this.#state(), tree: { entries: 2, bytes: 10, complete: true } };
      },
      deleteSnapshot: async (id) => {
        await step();
        if (!this.snapshots.delete(id)) throw new PyroError("not_found", `there is no snapshot ${id}`);
      },
      countPins: async (ids) => {
        await step();
        this.calls.push("count pins");
        this.#fail("countPins");
        return this.pinnedBytes === undefined
          ? undefined
          : new Map(ids.filter((id) => this.snapshots.has(id)).map((id) => [id, this.pinnedBytes ?? 0]));
      },
      grow: async (sizeBytes) => {
        this.calls.push(`grow ${sizeBytes}`);
        this.#fail("grow");
        return await Promise.resolve(this.#state());
      },
      flatten: async () => {
        this.calls.push("flatten");
        return await Promise.resolve(this.#state());
      },
      compare: async ({ from, to }, { onSummary }) => {
        this.calls.push(`compare ${from} ${to ?? "now"}`);
        await step();
        onSummary(NOTHING_CHANGED);
      },
      sync: async ({ trim }) => {
        this.calls.push(trim ? "sync and trim" : "sync");
        this.#fail("sync");
        return await Promise.resolve(this.#state());
      },
    };
  }

  #fail(name: "sync" | "createSnapshot" | "countPins" | "grow" | "prepare"): void {
    const failure = this.failures.get(name);
    this.failures.delete(name);
    if (failure !== undefined) throw failure;
  }

  #state(): VolumeState {
    return { workspaceGeneration: this.generation, totalBytes: 1 << 30, usedBytes: 4096 };
  }
}
