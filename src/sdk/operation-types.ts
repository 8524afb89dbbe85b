/** The SDK's methods as types, derived from the contract's table: a new operation shows up here by itself. */
import type * as z from "zod";
import type { Operation } from "../contract/operation.ts";
import type { Operations } from "../contract/operations.ts";
import type { CommandIo } from "./command-io.ts";

/** What a caller may add to any call. */
export interface CallOptions<Event = never> {
  /** Ends the call, and with it what it started. */
  readonly signal?: AbortSignal | undefined;
  /** Told what happens while the call runs. */
  readonly onEvent?: ((event: Event) => void) | undefined;
}

/** Fields that the SDK fills itself; see `plumbing` of an operation. */
type Plumbing = "stream_id" | "stdin" | "output" | "terminal" | "umask";

/** The fields of `T` themselves: what an editor shows then is a record, and not how its type was made. */
type Fields<T> = { [Field in keyof T]: T[Field] } & {};

export type InputOf<O extends Operation> = Fields<Omit<z.input<O["input"]>, Plumbing>>;
export type OutputOf<O extends Operation> = Fields<z.output<O["output"]>>;
export type EventOf<O extends Operation> = O["events"] extends z.ZodType ? z.output<O["events"]> : never;

/** Commands also take and give bytes. */
type OptionsOf<O extends Operation> = CallOptions<EventOf<O>> &
  (O["input"] extends z.ZodObject<{ stream_id: z.ZodType }> ? CommandIo : unknown);

/** Fields without which an operation cannot be called. */
type RequiredFields<Input> = { [Field in keyof Input]-?: undefined extends Input[Field] ? never : Field }[keyof Input];

/** An operation without fields has an input type that allows any field of type never. */
type NeedsNothing<Input> = string extends keyof Input ? true : [RequiredFields<Input>] extends [never] ? true : false;

export type Method<O extends Operation> =
  NeedsNothing<InputOf<O>> extends true
    ? (input?: InputOf<O>, options?: OptionsOf<O>) => Promise<OutputOf<O>>
    : (input: InputOf<O>, options?: OptionsOf<O>) => Promise<OutputOf<O>>;

type MethodTree<Tree> = {
  readonly [Key in keyof Tree]: Tree[Key] extends Operation ? Method<Tree[Key]> : MethodTree<Tree[Key]>;
};

/** Every operation that a front end shows. Machines that a caller holds have a handle of their own, `Machine`. */
export type Methods = MethodTree<Omit<Operations, "machine" | "exec">>;
