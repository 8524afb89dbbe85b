/** `pyro workspace …`, but for the commands that have files of their own. */
import type { WorkspaceSummary } from "../../contract/workspace.ts";
import { directoryOfNew } from "../default-workspace.ts";
import type { CliCommand, Invocation } from "../invocation.ts";
import { toJson } from "../json.ts";
import { printable } from "../printable.ts";
import {
  commandHead,
  workspaceBlock,
  workspaceList,
  workspacePulled,
  workspaceReset,
  workspaceStatus,
} from "../render/workspace.ts";
import { warnOfSeed } from "../seed-progress.ts";
import { answering, starting } from "./answer.ts";

export const create = starting((pyro) => pyro.workspace.create, createdText, made);
export const list = answering((pyro) => pyro.workspace.list, workspaceList);
export const status = answering((pyro) => pyro.workspace.status, workspaceStatus);
export const update = answering((pyro) => pyro.workspace.update, workspaceBlock);
export const start = starting((pyro) => pyro.workspace.start, workspaceBlock);
export const stop = answering((pyro) => pyro.workspace.stop, workspaceBlock);
export const flatten = answering((pyro) => pyro.workspace.flatten, workspaceStatus);
export const restore = answering((pyro) => pyro.workspace.restore, workspaceBlock);
export const pull = answering((pyro) => pyro.workspace.pull, workspacePulled);
export const reset = starting((pyro) => pyro.workspace.reset, workspaceReset);

/** What was printed goes to where it went: errors to standard error. */
export const logs: CliCommand = async ({ pyro, input, json, output, interruption }) => {
  const { signal } = interruption;
  const result = await pyro.workspace.logs(input as { workspace: string }, { signal });
  if (json) {
    output.result(toJson(result));
    return 0;
  }
  for (const entry of result.entries) {
    output.result(commandHead(entry));
    output.result(whole(entry.stdout));
    process.stderr.write(whole(entry.stderr));
  }
  return 0;
};

/** The input of `create`, with the directory that the workspace is made from. */
function made(input: Invocation["input"]): Invocation["input"] {
  const directory = directoryOfNew(input["seed_path"]);
  return directory === undefined ? input : { ...input, directory };
}

function createdText(workspace: WorkspaceSummary, { extras, output }: Invocation): string {
  warnOfSeed(workspace, output);
  return extras["id-only"] === true ? `${workspace.workspace_id}\n` : workspaceBlock(workspace);
}

/** Our own next line begins a line of its own. A terminal is not driven by what was once printed in a guest. */
function whole(said: string): string {
  const shown = said
    .split("\n")
    .map((line) => printable(line))
    .join("\n");
  return shown === "" || shown.endsWith("\n") ? shown : `${shown}\n`;
}
