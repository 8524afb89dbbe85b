/** `pyro workspace command …`, and `exec --detach`, which starts one. */
import type { AttachEvent } from "../../contract/command-operations.ts";
import { PyroError } from "../../contract/error.ts";
import type { Pyro } from "../../sdk/pyro.ts";
import { guestOutput } from "../guest-output.ts";
import type { CliCommand } from "../invocation.ts";
import { toJson } from "../json.ts";
import { commandFacts, commandKilled, commandList } from "../render/command.ts";
import { answering } from "./answer.ts";

type StartInput = Parameters<Pyro["workspace"]["command"]["start"]>[0];
type AttachInput = Parameters<Pyro["workspace"]["command"]["attach"]>[0];

export const list = answering((pyro) => pyro.workspace.command.list, commandList);
export const kill = answering((pyro) => pyro.workspace.command.kill, commandKilled);

/** Starts it and prints the id to come back with. */
export const start: CliCommand = async ({ pyro, input, extras, json, output, interruption }) => {
  if (extras["interactive"] === true || extras["tty"] === true) {
    throw new PyroError("invalid_argument", "a detached command has no standard input and no terminal", {
      remedy: "leave --detach out, or --interactive and --tty",
    });
  }
  const { signal } = interruption;
  const started = await pyro.workspace.command.start(input as unknown as StartInput, { signal });
  output.result(json ? toJson(started) : `${started.exec_id}\n`);
  output.note(`[workspace-exec] workspace_id=${started.workspace_id} ${commandFacts(started)}`);
  return 0;
};

/** Its output as it was and comes; the exit status is the command's. Ctrl-C ends the reading, not the command. */
export const attach: CliCommand = async ({ pyro, input, json, output, interruption }) => {
  const guest = guestOutput();
  guest.open();
  const onEvent = ({ stream, bytes }: AttachEvent): void => {
    if (!json) output.note(`[workspace-command-attach] ${stream}_dropped_bytes=${bytes}`);
  };
  try {
    const result = await pyro.workspace.command.attach(input as unknown as AttachInput, {
      signal: interruption.signal,
      onEvent,
      ...(json ? {} : { stdout: guest.stdout, stderr: guest.stderr }),
    });
    if (json) output.result(toJson(result));
    else output.note(`${guest.midLine() ? "\n" : ""}[workspace-command-attach] ${commandFacts(result)}`);
    return result.exit_code ?? 0;
  } catch (failure) {
    // The error's line is one of ours too.
    if (guest.midLine()) process.stderr.write("\n");
    throw failure;
  }
};
