/** `pyro run`. */
import type { Command, MachineEvent } from "../../contract/run.ts";
import { commandStreams } from "../command-streams.ts";
import type { CliCommand } from "../invocation.ts";
import { toJson } from "../json.ts";
import { printable } from "../printable.ts";
import { type PullReporter, pullReporter } from "../pull-progress.ts";

interface RunInput {
  readonly environment: string;
  readonly command: Command;
}

/** Runs the command, its bytes passing through as they come, and ends with its exit status. */
export const run: CliCommand = async (invocation) => {
  const { pyro, json, output } = invocation;
  const { guest, input, options, close } = commandStreams(invocation);
  const reporter = pullReporter(output);
  const onEvent = (event: MachineEvent): void => {
    reportEvent(event, reporter, output.note);
    if (event.type === "machine" && event.phase === "execute") guest.open();
  };
  try {
    const result = await pyro.run(input as unknown as RunInput, {
      ...options,
      ...(json ? {} : { onEvent }),
    });
    await close();
    if (json) output.result(toJson(result));
    else {
      const facts = [
        `environment=${printable(result.environment)}`,
        `execution_mode=${result.execution_mode}`,
        `exit_code=${result.exit_code}`,
        `duration_ms=${Math.round(result.duration_ms)}`,
        ...(result.timed_out ? ["timed_out=yes"] : []),
        ...(result.out_of_memory ? ["out_of_memory=yes"] : []),
        `isolation=${result.isolation}`,
        ...(result.confinement === "full" ? [] : [`confinement=${result.confinement}`]),
      ];
      output.note(`${guest.midLine() ? "\n" : ""}[run] ${facts.join(" ")}`);
    }
    return result.exit_code;
  } catch (failure) {
    await close();
    // The error's line is one of ours too.
    if (guest.midLine()) process.stderr.write("\n");
    throw failure;
  } finally {
    reporter.end();
  }
};

function reportEvent(event: MachineEvent, reporter: PullReporter, note: (line: string) => void): void {
  if (event.type === "pull") return reporter.report(event.progress);
  reporter.end();
  const subject =
    event.phase === "create" ? `environment=${printable(event.environment ?? "")}` : `vm_id=${event.vm_id ?? ""}`;
  note(`[run] phase=${event.phase} ${subject}`);
}
