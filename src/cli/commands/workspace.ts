/** `pyro workspace …`, but for the commands that have files of their own. */
import type { MachineEvent } from "../../contract/run.ts";
import type { WorkspaceSummary } from "../../contract/workspace.ts";
import type { Pyro } from "../../sdk/pyro.ts";
import type { CliCommand, Invocation } from "../invocation.ts";
import { toJson } from "../json.ts";
import { printable } from "../printable.ts";
import { pullReporter } from "../pull-progress.ts";
import { commandHead, workspaceBlock, workspaceList, workspaceReset, workspaceStatus } from "../render/workspace.ts";

type Input<Name extends keyof Pyro["workspace"]> = Pyro["workspace"][Name] extends (input: infer In) => unknown
  ? In
  : never;

export const create: CliCommand = async (invocation) => {
  const { pyro, input, extras, json, output } = invocation;
  const made = await reporting(invocation, async (options) => {
    return await pyro.workspace.create(input as unknown as Input<"create">, options);
  });
  output.result(
    extras["id-only"] === true && !json ? `${made.workspace_id}\n` : text(invocation, made, workspaceBlock),
  );
  return 0;
};

export const list: CliCommand = async (invocation) => {
  return answer(invocation, await invocation.pyro.workspace.list(invocation.input, options(invocation)), workspaceList);
};

export const status: CliCommand = async (invocation) => {
  const input = invocation.input as unknown as Input<"status">;
  return answer(invocation, await invocation.pyro.workspace.status(input, options(invocation)), workspaceStatus);
};

export const update: CliCommand = async (invocation) => {
  const input = invocation.input as unknown as Input<"update">;
  return answer(invocation, await invocation.pyro.workspace.update(input, options(invocation)), workspaceBlock);
};

export const start: CliCommand = async (invocation) => {
  const input = invocation.input as unknown as Input<"start">;
  const started = await reporting(invocation, async (how) => await invocation.pyro.workspace.start(input, how));
  return answer(invocation, started, workspaceBlock);
};

export const stop: CliCommand = async (invocation) => {
  const input = invocation.input as unknown as Input<"stop">;
  return answer(invocation, await invocation.pyro.workspace.stop(input, options(invocation)), workspaceBlock);
};

export const restore: CliCommand = async (invocation) => {
  const input = invocation.input as unknown as Input<"restore">;
  return answer(invocation, await invocation.pyro.workspace.restore(input, options(invocation)), workspaceBlock);
};

export const reset: CliCommand = async (invocation) => {
  const input = invocation.input as unknown as Input<"reset">;
  const done = await reporting(invocation, async (how) => await invocation.pyro.workspace.reset(input, how));
  return answer(invocation, done, workspaceReset);
};

/** What was printed goes to where it went: errors to standard error. */
export const logs: CliCommand = async (invocation) => {
  const { json, output } = invocation;
  const input = invocation.input as unknown as Input<"logs">;
  const result = await invocation.pyro.workspace.logs(input, options(invocation));
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

/** Our own next line begins a line of its own. A terminal is not driven by what was once printed in a guest. */
function whole(said: string): string {
  const shown = said
    .split("\n")
    .map((line) => printable(line))
    .join("\n");
  return shown === "" || shown.endsWith("\n") ? shown : `${shown}\n`;
}

/** Does what may install an environment first, and tells how far that is. */
async function reporting<Result>(
  invocation: Invocation,
  work: (options: { signal: AbortSignal; onEvent: (event: MachineEvent) => void }) => Promise<Result>,
): Promise<Result> {
  const reporter = pullReporter(invocation.output);
  const onEvent = (event: MachineEvent): void =>
    void (event.type === "pull" && !invocation.json && reporter.report(event.progress));
  try {
    return await work({ ...options(invocation), onEvent });
  } finally {
    reporter.end();
  }
}

const options = ({ interruption }: Invocation): { signal: AbortSignal } => ({ signal: interruption.signal });

const text = ({ json }: Invocation, made: WorkspaceSummary, render: (result: WorkspaceSummary) => string): string =>
  json ? toJson(made) : render(made);

function answer<Result>({ json, output }: Invocation, result: Result, render: (result: Result) => string): number {
  output.result(json ? toJson(result) : render(result));
  return 0;
}
