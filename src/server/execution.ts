/** One command in a machine: from the call's input to its result. */
import type * as z from "zod";
import { PyroError } from "../contract/error.ts";
import { TIMEOUT_SECONDS_DEFAULT } from "../contract/limits.ts";
import type { ExecResult, execOptions } from "../contract/run.ts";
import type { Exec, ExecOutcome, ExecRequest, OpenMachine } from "../machine/machine.ts";
import type { CommandStreams } from "./byte-streams.ts";
import { Capture } from "./capture.ts";
import { argvOf, displayed, environmentOf } from "./command-line.ts";
import type { ServerContext } from "./context.ts";

const GUEST_USER = "root";
const GUEST_CWD = "/workspace";

export type ExecInput = z.output<z.ZodObject<typeof execOptions>>;

/** The byte streams that `input` asks for, or undefined. Claimed before anything slow is done. */
export async function claimStreams(
  context: ServerContext,
  input: Pick<ExecInput, "stream_id" | "stdin" | "output">,
): Promise<CommandStreams | undefined> {
  const { stream_id: id, stdin, output } = input;
  if (!stdin && output === "result") return undefined;
  if (id === undefined) throw new PyroError("invalid_argument", "stream_id: byte streams need an id");
  return await context.streams.claim(id, { withOutput: output === "stream" });
}

/** What a command needs of its machine. */
type CommandMachine = Pick<
  OpenMachine,
  "id" | "environment" | "environmentVersion" | "executionMode" | "isolation" | "confinement" | "exec"
>;

export interface ExecutionParts {
  readonly context: ServerContext;
  readonly machine: CommandMachine;
  readonly streams: CommandStreams | undefined;
  /** When it is aborted the command is no longer waited for; ending it is up to the caller. */
  readonly signal: AbortSignal;
}

/** Runs the command to its end. Its time limit is the guest's to keep; that the guest still lives is the link's. */
export function execute(
  input: ExecInput,
  { context, machine, streams, signal }: ExecutionParts,
): { exec: Exec; result: Promise<ExecResult> } {
  const capture = new Capture();
  signal.throwIfAborted();
  const exec = machine.exec({
    ...guestCommand(input),
    timeLimitMs: timeLimitMs(input),
    terminal: input.terminal,
    stdin: input.stdin ? streams?.stdin : undefined,
    onOutput:
      input.output === "stream" && streams !== undefined ? streams.write : (stream, data) => capture.add(stream, data),
  });
  // A caller lends its terminal when there is a command to lend it to. Why there is none the outcome says.
  if (input.terminal !== undefined) exec.started.then(() => streams?.begin()).catch(() => undefined);
  const forget = input.stream_id === undefined ? undefined : context.executions.add(input.stream_id, exec);
  const result = unlessAborted(exec.outcome, signal)
    .then((outcome) => resultOf(input, machine, { outcome, capture }))
    .finally(() => forget?.());
  return { exec, result };
}

/** A command's part of the input, as the guest gets it. */
export function guestCommand(
  input: Pick<ExecInput, "command" | "env" | "cwd" | "user">,
): Pick<ExecRequest, "argv" | "env" | "cwd" | "user"> {
  return {
    argv: argvOf(input.command),
    env: environmentOf(input.env),
    cwd: input.cwd ?? GUEST_CWD,
    user: input.user ?? GUEST_USER,
  };
}

/** Who sits at a terminal ends what runs there. */
function timeLimitMs({ timeout_seconds: seconds, terminal }: ExecInput): number | undefined {
  const limit = seconds ?? (terminal === undefined ? TIMEOUT_SECONDS_DEFAULT : undefined);
  return limit === undefined ? undefined : Math.ceil(limit * 1000);
}

function resultOf(
  input: ExecInput,
  machine: CommandMachine,
  { outcome, capture }: { outcome: ExecOutcome; capture: Capture },
): ExecResult {
  return {
    vm_id: machine.id,
    environment: machine.environment,
    environment_version: machine.environmentVersion,
    command: displayed(input.command),
    ...capture.fields(),
    exit_code: outcome.exitCode,
    signal: outcome.signal,
    timed_out: outcome.timedOut,
    out_of_memory: outcome.outOfMemory,
    duration_ms: outcome.durationMs,
    execution_mode: machine.executionMode,
    isolation: machine.isolation,
    confinement: machine.confinement,
  };
}

/** `promise`, or the signal's reason as soon as it is aborted. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(PyroError.from(signal.reason));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
