/** Detached commands, as a person reads them. */
import type { CommandSummary } from "../../contract/command-operations.ts";
import { printable } from "../printable.ts";

/** What is known of one, on a line of ours. */
export function commandFacts(command: CommandSummary): string {
  const { exit_code: exitCode, duration_ms: durationMs } = command;
  return [
    `exec_id=${command.exec_id}`,
    `sequence=${command.sequence}`,
    `state=${command.state}`,
    ...(exitCode === null ? [] : [`exit_code=${exitCode}`]),
    ...(durationMs === null ? [] : [`duration_ms=${Math.round(durationMs)}`]),
    ...(command.timed_out ? ["timed_out=yes"] : []),
    ...(command.out_of_memory ? ["out_of_memory=yes"] : []),
  ].join(" ");
}

export function commandList({ commands }: { commands: readonly CommandSummary[] }): string {
  return commands
    .map((each) => {
      const ended = each.exit_code === null ? "" : ` exit_code=${each.exit_code}`;
      const started = `sequence=${each.sequence} started=${each.started_at}`;
      return `${each.exec_id} [${each.state}]${ended} ${started} $ ${printable(each.command)}\n`;
    })
    .join("");
}

export function commandKilled({ exec_id: execId, delivered }: { exec_id: string; delivered: boolean }): string {
  return `[workspace-command-kill] exec_id=${execId} delivered=${delivered ? "yes" : "no"}\n`;
}
