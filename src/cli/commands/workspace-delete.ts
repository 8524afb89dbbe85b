/** `pyro workspace delete`. */
import { PyroError } from "../../contract/error.ts";
import { TRASH_DAYS } from "../../contract/limits.ts";
import { confirmed } from "../confirmation.ts";
import type { CliCommand } from "../invocation.ts";
import { toJson } from "../json.ts";
import { printable } from "../printable.ts";

interface DeleteInput {
  readonly workspace: string;
  readonly force?: boolean;
  readonly purge?: boolean;
}

/** Deletes it; when its files were changed, only after asking, or with --force. */
export const remove: CliCommand = async ({ pyro, input, json, output, interruption }) => {
  const wanted = input as unknown as DeleteInput;
  const { signal } = interruption;
  const call = async (force: boolean): ReturnType<typeof pyro.workspace.delete> =>
    await pyro.workspace.delete({ ...wanted, force }, { signal });
  const deleted = await call(wanted.force === true).catch(async (failure: unknown) => {
    const isChanged = PyroError.is(failure) && failure.code === "invalid_state" && wanted.force !== true;
    const question = `${PyroError.from(failure).message}. Delete it?`;
    if (!isChanged || json || !(await confirmed(printable(question), signal))) throw failure;
    return await call(true);
  });
  output.result(json ? toJson(deleted) : `Deleted workspace: ${deleted.workspace_id}\n`);
  if (!deleted.purged)
    output.note(`[workspace-delete] restorable for ${TRASH_DAYS} days: pyro workspace restore ${deleted.workspace_id}`);
  return 0;
};
