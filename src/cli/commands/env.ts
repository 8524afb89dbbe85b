/** `pyro env …`. */
import type { PullProgress } from "../../contract/environment.ts";
import type { CliCommand, Invocation } from "../invocation.ts";
import { toJson } from "../json.ts";
import { pullReporter } from "../pull-progress.ts";
import { environmentDetails, environmentList, pruneSummary } from "../render/env.ts";

export const list: CliCommand = async (invocation) => {
  return answer(invocation, await invocation.pyro.env.list({}, options(invocation)), environmentList);
};

export const pull: CliCommand = async (invocation) => {
  const reporter = pullReporter(invocation.output);
  const onEvent = (progress: PullProgress): void => void (invocation.json || reporter.report(progress));
  try {
    const details = await invocation.pyro.env.pull(invocation.input as { environment: string }, {
      ...options(invocation),
      onEvent,
    });
    return answer(invocation, details, (result) => environmentDetails("Pulled", result));
  } finally {
    reporter.end();
  }
};

export const inspect: CliCommand = async (invocation) => {
  const details = await invocation.pyro.env.inspect(invocation.input as { environment: string }, options(invocation));
  return answer(invocation, details, (result) => environmentDetails("Environment", result));
};

export const prune: CliCommand = async (invocation) => {
  return answer(invocation, await invocation.pyro.env.prune(invocation.input, options(invocation)), pruneSummary);
};

const options = ({ interruption }: Invocation): { signal: AbortSignal } => ({ signal: interruption.signal });

function answer<Result>({ json, output }: Invocation, result: Result, text: (result: Result) => string): number {
  output.result(json ? toJson(result) : text(result));
  return 0;
}
