/** Commands that make one call and show what it answered. */
import type { MachineEvent } from "../../contract/run.ts";
import type { Pyro } from "../../sdk/pyro.ts";
import type { CliCommand, Invocation } from "../invocation.ts";
import { toJson } from "../json.ts";
import { pullReporter } from "../pull-progress.ts";

interface CallOptions {
  readonly signal: AbortSignal;
}

interface StartOptions extends CallOptions {
  readonly onEvent: (event: MachineEvent) => void;
}

type Call<Input, Options, Result> = (input: Input, options: Options) => Promise<Result>;

/** The command that calls an operation; `text` is its answer for a person. */
export function answering<Input, Result>(
  operation: (pyro: Pyro) => Call<Input, CallOptions, Result>,
  text: (result: Result) => string,
): CliCommand {
  return async (invocation) => {
    const { pyro, interruption } = invocation;
    // The contract's schema of this operation made it.
    const input = invocation.input as Input;
    return showAnswer(invocation, await operation(pyro)(input, { signal: interruption.signal }), text);
  };
}

/**
 * As `answering`, of an operation that may install an environment first: it tells how far that is. `complete` adds to its
 * input what no flag says.
 */
export function starting<Input, Result>(
  operation: (pyro: Pyro) => Call<Input, StartOptions, Result>,
  text: (result: Result, invocation: Invocation) => string,
  complete: (input: Invocation["input"]) => Invocation["input"] = (input) => input,
): CliCommand {
  return async (invocation) => {
    const { pyro, interruption, json, output } = invocation;
    const reporter = pullReporter(output);
    const onEvent = (event: MachineEvent): void =>
      void (event.type === "pull" && !json && reporter.report(event.progress));
    try {
      const input = complete(invocation.input) as Input;
      const result = await operation(pyro)(input, { signal: interruption.signal, onEvent });
      return showAnswer(invocation, result, (shown) => text(shown, invocation));
    } finally {
      reporter.end();
    }
  };
}

/** Shows an answer, and gives the exit status of a call that was answered. */
export function showAnswer<Result>(
  { json, output }: Invocation,
  result: Result,
  text: (result: Result) => string,
): number {
  output.result(json ? toJson(result) : text(result));
  return 0;
}
