import type { Pyro } from "../sdk/pyro.ts";
import type { Interruption } from "./interruption.ts";
import type { Output } from "./output.ts";

/** Front ends that are not the CLI's own, and that it starts. */
export interface FrontEnds {
  /** Serves MCP until its host closes it or the signal is aborted; `allow`: directories of this machine that calls may name. */
  readonly serveMcp: (pyro: Pyro, options: { allow: readonly string[]; signal: AbortSignal }) => Promise<void>;
}

/** One call of the CLI, as a command sees it. */
export interface Invocation {
  readonly pyro: Pyro;
  /** The operation's input, from flags, positionals and the words after `--`. */
  readonly input: Readonly<Record<string, unknown>>;
  readonly json: boolean;
  /** Flags that belong to the command line alone. */
  readonly extras: Readonly<Record<string, unknown>>;
  readonly output: Output;
  readonly interruption: Interruption;
  readonly frontEnds: FrontEnds;
}

/** Does the call and gives the exit status. */
export type CliCommand = (invocation: Invocation) => Promise<number>;
