/** `pyro demo`. */
import type { MachineEvent } from "../../contract/run.ts";
import type { CliCommand } from "../invocation.ts";
import { toJson } from "../json.ts";
import { pullReporter } from "../pull-progress.ts";
import { interruptible } from "../command-streams.ts";

const DEMO = { environment: "debian:12", command: ["git", "--version"] };

/** One command in a machine of its own, as JSON: the whole way once, to see that it works here. */
export const demo: CliCommand = async (invocation) => {
  const reporter = pullReporter(invocation.output);
  // The first time it takes a while, and only its standard output is meant to be read by programs.
  const onEvent = (event: MachineEvent): void =>
    void (event.type === "pull" && !invocation.json && reporter.report(event.progress));
  try {
    const result = await invocation.pyro.run(DEMO, { ...interruptible(invocation), onEvent });
    invocation.output.result(toJson(result));
    return result.exit_code;
  } finally {
    reporter.end();
  }
};
