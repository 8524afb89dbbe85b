/** `pyro workspace snapshot …`. */
import { printable } from "../printable.ts";
import { snapshotCreated, snapshotList } from "../render/workspace.ts";
import { answering } from "./answer.ts";

export const create = answering((pyro) => pyro.workspace.snapshot.create, snapshotCreated);
export const list = answering((pyro) => pyro.workspace.snapshot.list, snapshotList);
export const remove = answering(
  (pyro) => pyro.workspace.snapshot.delete,
  (result) => `Deleted workspace snapshot: ${printable(result.snapshot_name)}\n`,
);
