/** `pyro workspace diff`. */
import type { Writable } from "node:stream";
import type { DiffEvent, DiffResult } from "../../contract/diff-operations.ts";
import { guestOutput } from "../guest-output.ts";
import type { CliCommand, Invocation } from "../invocation.ts";
import { toJson } from "../json.ts";
import { openPatchFile, type PatchFile } from "../patch-file.ts";
import { changedNames, changedStat, diffNotes, diffSummaryLine } from "../render/diff.ts";

/** The summary first, then the patch as it comes; into a file the patch alone. */
export const diff: CliCommand = async (invocation) => {
  const { input, extras, json } = invocation;
  const path = extras["output"] as string | undefined;
  const file = path === undefined ? undefined : await openPatchFile(path, { overwrite: extras["overwrite"] === true });
  try {
    const result = await compared(invocation, file);
    await file?.publish();
    if (json) invocation.output.result(toJson(result));
    else {
      if (input["name_only"] === true) invocation.output.result(changedNames(result));
      else if (input["stat"] === true) invocation.output.result(changedStat(result));
      for (const note of diffNotes(result, { binary: input["binary"] === true })) invocation.output.note(note);
    }
    return 0;
  } finally {
    await file?.discard();
  }
};

async function compared(
  { pyro, input, json, output, interruption }: Invocation,
  file: PatchFile | undefined,
): Promise<DiffResult> {
  const guest = guestOutput();
  const onEvent = ({ workspace_id: id, summary }: DiffEvent): void => {
    if (json) return;
    output.result(diffSummaryLine(id, summary));
    guest.open();
  };
  const sink: Writable | undefined = file?.stream ?? (json ? undefined : guest.stdout);
  return await pyro.workspace.diff(input as { workspace: string }, {
    signal: interruption.signal,
    onEvent,
    ...(sink === undefined ? {} : { stdout: sink }),
  });
}
