/** One command through the server: the call, and its byte streams beside it. */
import { PyroError } from "../contract/error.ts";
import type { CallOptions } from "./operation-types.ts";
import { type CommandIo, plumbing, pumpInput, pumpOutput } from "./command-io.ts";
import { cancelled } from "./cancel.ts";
import type { Connection } from "./connection.ts";
import { NotDone } from "./not-done.ts";
import type { Rpc } from "./rpc.ts";

export type CommandOptions = CallOptions & CommandIo;

/** Calls a command operation. All bytes of output have been taken by the caller's streams when it settles. */
export async function callCommand(
  { rpc, connection }: { rpc: Rpc; connection: Connection },
  { path, input }: { path: readonly string[]; input: object },
  options: CommandOptions,
): Promise<unknown> {
  const fields = plumbing(options);
  const id = fields.stream_id;
  const call = new AbortController();
  const streams = new AbortController();
  const abort = (): void => call.abort(options.signal === undefined ? undefined : cancelled(options.signal));
  if (options.signal?.aborted === true) abort();
  options.signal?.addEventListener("abort", abort, { once: true });
  call.signal.addEventListener("abort", () => streams.abort(call.signal.reason), { once: true });
  const onBegun = (): Promise<void> | void =>
    options.terminal?.onOpen?.(async (terminal) => await delivered(rpc, "resize", { stream_id: id, terminal }));
  const output =
    fields.output === "stream"
      ? pumpOutput(connection, id, { io: options, signal: streams.signal, onBegun })
      : Promise.resolve();
  output.catch((failure: unknown) => {
    // A server that did nothing says so to the call as well, and better.
    if (!(failure instanceof NotDone)) call.abort(failure);
  });
  const onAccepted = (): void => {
    const { stdin, onSignalable } = options;
    if (stdin !== undefined)
      void pumpInput(connection, id, { stdin, signal: streams.signal }).catch((failure: unknown) =>
        call.abort(failure),
      );
    onSignalable?.(async (signal) => await delivered(rpc, "signal", { stream_id: id, signal }));
  };
  const onUnreadable = (cause: Error): void =>
    call.abort(new PyroError("invalid_argument", "standard input cannot be read", { cause }));
  options.stdin?.once("error", onUnreadable);
  try {
    const result = await rpc.call(
      path,
      { ...input, ...fields },
      { signal: call.signal, onEvent: options.onEvent, onAccepted },
    );
    await output;
    return result;
  } finally {
    streams.abort();
    options.signal?.removeEventListener("abort", abort);
    options.stdin?.off("error", onUnreadable);
  }
}

/** Whether the command was there to get it. */
async function delivered(rpc: Rpc, what: "signal" | "resize", input: object): Promise<boolean> {
  try {
    return ((await rpc.call(["exec", what], input, {})) as { delivered: boolean }).delivered;
  } catch (failure) {
    // With its server the command is gone as well.
    if (failure instanceof NotDone) return false;
    throw failure;
  }
}
