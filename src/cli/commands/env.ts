/** `pyro env …`. */
import type { PullProgress } from "../../contract/environment.ts";
import type { CliCommand } from "../invocation.ts";
import { pullReporter } from "../pull-progress.ts";
import { environmentDetails, environmentList, pruneSummary } from "../render/env.ts";
import { answering, showAnswer } from "./answer.ts";

export const list = answering((pyro) => pyro.env.list, environmentList);
export const inspect = answering(
  (pyro) => pyro.env.inspect,
  (result) => environmentDetails("Environment", result),
);
export const prune = answering((pyro) => pyro.env.prune, pruneSummary);

export const pull: CliCommand = async (invocation) => {
  const { pyro, input, json, output, interruption } = invocation;
  const reporter = pullReporter(output);
  const onEvent = (progress: PullProgress): void => void (json || reporter.report(progress));
  try {
    const wanted = input as { environment: string };
    const details = await pyro.env.pull(wanted, { signal: interruption.signal, onEvent });
    return showAnswer(invocation, details, (result) => environmentDetails("Pulled", result));
  } finally {
    reporter.end();
  }
};
