/** `pyro workspace snapshot …`. */
import type { CliCommand } from "../invocation.ts";
import { toJson } from "../json.ts";
import { printable } from "../printable.ts";
import { snapshotCreated, snapshotList } from "../render/workspace.ts";

interface Named {
  readonly workspace: string;
  readonly snapshot: string;
}

export const create: CliCommand = async ({ pyro, input, json, output, interruption }) => {
  const { signal } = interruption;
  const result = await pyro.workspace.snapshot.create(input as unknown as Named, { signal });
  output.result(json ? toJson(result) : snapshotCreated(result));
  return 0;
};

export const list: CliCommand = async ({ pyro, input, json, output, interruption }) => {
  const { signal } = interruption;
  const result = await pyro.workspace.snapshot.list(input as unknown as Named, { signal });
  output.result(json ? toJson(result) : snapshotList(result));
  return 0;
};

export const remove: CliCommand = async ({ pyro, input, json, output, interruption }) => {
  const { signal } = interruption;
  const result = await pyro.workspace.snapshot.delete(input as unknown as Named, { signal });
  output.result(json ? toJson(result) : `Deleted workspace snapshot: ${printable(result.snapshot_name)}\n`);
  return 0;
};
