/** `pyro workspace exec`. */
import type { Command } from "../../contract/run.ts";
import { commandStreams } from "../command-streams.ts";
import type { CliCommand } from "../invocation.ts";
import { toJson } from "../json.ts";
import { printable } from "../printable.ts";

interface ExecInput {
  readonly workspace: string;
  readonly command: Command;
}

/** Runs the command, its bytes passing through as they come, and ends with its exit status. */
export const exec: CliCommand = async (invocation) => {
  if (invocation.extras["detach"] === true) return await (await import("./detached.ts")).start(invocation);
  const { pyro, json, output } = invocation;
  const { guest, input, options, close } = commandStreams(invocation);
  guest.open();
  try {
    const result = await pyro.workspace.exec(input as unknown as ExecInput, options);
    await close();
    if (json) output.result(toJson(result));
    else {
      const facts = [
        `workspace_id=${result.workspace_id}`,
        `sequence=${result.sequence}`,
        `cwd=${printable(result.cwd)}`,
        `execution_mode=${result.execution_mode}`,
        `exit_code=${result.exit_code}`,
        `duration_ms=${Math.round(result.duration_ms)}`,
        ...(result.timed_out ? ["timed_out=yes"] : []),
        ...(result.out_of_memory ? ["out_of_memory=yes"] : []),
      ];
      output.note(`${guest.midLine() ? "\n" : ""}[workspace-exec] ${facts.join(" ")}`);
    }
    return result.exit_code;
  } catch (failure) {
    await close();
    // The error's line is one of ours too.
    if (guest.midLine()) process.stderr.write("\n");
    throw failure;
  }
};
