/** What the server's handlers are: one function for each operation of the contract that runs in the server. */
import type * as z from "zod";
import type { Operation } from "../contract/operation.ts";
import type { Operations } from "../contract/operations.ts";

/** One call of a client, as its handler sees it. */
export interface Call<Event> {
  /** Aborted when the client goes away or the server is stopped; the reason is a PyroError. */
  readonly signal: AbortSignal;
  /** Tells the client what happens; does nothing when it no longer listens. */
  readonly emit: (event: Event) => void;
  /** Settles when the answer has left, or cannot any more. */
  readonly ended: Promise<void>;
}

type EventOf<O extends Operation> = O["events"] extends z.ZodType ? z.input<O["events"]> : never;

export type Handler<O extends Operation> = (
  input: z.output<O["input"]>,
  call: Call<EventOf<O>>,
) => Promise<z.input<O["output"]>>;

type HandlerTree<Tree> = {
  readonly [Key in keyof Tree]: Tree[Key] extends Operation ? Handler<Tree[Key]> : HandlerTree<Tree[Key]>;
};

/** `doctor` is not here: it runs in the caller's process. */
export type Handlers = HandlerTree<Omit<Operations, "doctor">>;
