/**
 * What an operation is. Every operation of pyro is defined once, in this folder; the CLI, the SDK, the MCP tools and the
 * server are projections of the definitions.
 */
import type * as z from "zod";

/** How the CLI shows an operation. Every input field that is not positional becomes a flag of the same name. */
export interface CliShape {
  /** Words after `pyro`, for example ["env", "pull"]. */
  readonly path: readonly string[];
  /** Input fields given by position, in order. */
  readonly positionals?: readonly string[];
  /** Input field that takes the words after `--`. */
  readonly rest?: string;
  /** Flags that are called otherwise than their input field. */
  readonly flags?: Readonly<Record<string, string>>;
  /** One-letter forms of flags, by input field. */
  readonly short?: Readonly<Record<string, string>>;
  /** Command lines for `--help`. */
  readonly examples: readonly string[];
}

/** An input field with a path of the caller's host. */
export interface HostPath {
  /** Whether the path is followed to its end; else its last name is made anew, and a link there is replaced. */
  readonly whole: boolean;
  /** What is meant when it is not given; absent: no path. */
  readonly absent?: string;
}

export interface Operation<
  Input extends z.ZodObject = z.ZodObject,
  Output extends z.ZodObject = z.ZodObject,
  Event extends z.ZodType | null = z.ZodType | null,
> {
  /** Dotted, noun first: `env.pull`. The SDK's method, the server's route and the MCP tool are named after it. */
  readonly name: string;
  /** One line for a person. */
  readonly summary: string;
  readonly input: Input;
  readonly output: Output;
  /** What it says while it runs; null: nothing. */
  readonly events: Event;
  /** Input fields that tie the call to the SDK's byte streams: the SDK fills them, no front end shows them. */
  readonly plumbing?: readonly string[];
  /** Input fields that are paths of the host: who is not its user may name some only. */
  readonly hostPaths?: Readonly<Record<string, HostPath>>;
  /** Where it runs: in the server, or in the caller's process because it must work when there is no server. */
  readonly place: "server" | "caller";
  /** Null: not on the command line, because its lifetime is that of the caller's connection. */
  readonly cli: CliShape | null;
  /** Null: no MCP tool. The hints are those of the MCP specification (2025-06-18, tool annotations). */
  readonly mcp: { readonly readOnly: boolean; readonly destructive: boolean } | null;
}

export function operation<
  const Name extends string,
  Input extends z.ZodObject,
  Output extends z.ZodObject,
  Event extends z.ZodType | null,
>(
  definition: Operation<Input, Output, Event> & { readonly name: Name },
): Operation<Input, Output, Event> & {
  readonly name: Name;
} {
  return definition;
}
