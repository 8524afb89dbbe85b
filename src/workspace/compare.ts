/** Comparing two trees of a workspace, by the names that its record has for them. */
import type { CompareListener, CompareRequest, OpenMachine } from "../machine/machine.ts";
import { SnapshotTable } from "./snapshots.ts";
import type { Workspace } from "./workspace.ts";

/**
 * Compares two snapshots; `to` undefined: with the tree as it is now. Commands go on meanwhile.
 * @returns the machine that did it
 * @throws PyroError not_found for a snapshot, as `Workspace.beside`
 */
export async function compareTrees(
  workspace: Workspace,
  { from, to, ...options }: Omit<CompareRequest, "signal">,
  { signal, ...listener }: CompareListener & { signal: AbortSignal },
): Promise<OpenMachine> {
  const table = new SnapshotTable(workspace.record);
  const trees = { from: table.find(from).id, to: to === undefined ? undefined : table.find(to).id };
  return await workspace.beside(async (machine) => {
    await machine.volume?.compare({ ...options, ...trees, signal }, listener);
    return machine;
  }, signal);
}
