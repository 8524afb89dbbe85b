/** The oRPC router, made from the contract's table and the handlers. */
import { type AnyRouter, eventIterator, os } from "@orpc/server";
import type * as z from "zod";
import { PyroError } from "../contract/error.ts";
import type { Operation } from "../contract/operation.ts";
import { isOperation, operations, type OperationTree } from "../contract/operations.ts";
import { eventsOf } from "./event-queue.ts";
import type { Handlers } from "./handler.ts";
import { toWireError } from "./wire-error.ts";

/** What the HTTP side knows of a call. */
export interface RpcContext {
  readonly signal: AbortSignal;
  readonly ended: Promise<void>;
  readonly abort: (why: PyroError) => void;
  /** Told once the outcome is known; undefined: success. */
  readonly settled: (failure: PyroError | undefined) => void;
}

/** A handler as the router calls it: the table gives each its own types, the loop cannot. */
type AnyHandler = (
  input: unknown,
  call: { signal: AbortSignal; ended: Promise<void>; emit: (event: unknown) => void },
) => Promise<unknown>;

/** The router of every operation that runs in the server. */
export function makeRouter(handlers: Handlers): AnyRouter {
  return branch(operations, handlers as unknown as HandlerBranch);
}

interface HandlerBranch {
  readonly [name: string]: AnyHandler | HandlerBranch;
}

function branch(table: OperationTree, handlers: HandlerBranch): Record<string, AnyRouter> {
  const routes: Record<string, AnyRouter> = {};
  for (const [name, entry] of Object.entries(table)) {
    const handler = handlers[name];
    if (isOperation(entry)) {
      if (entry.place === "server" && typeof handler === "function") routes[name] = procedure(entry, handler);
    } else if (typeof handler === "object") {
      routes[name] = branch(entry, handler);
    }
  }
  return routes;
}

function procedure({ input, output, events }: Operation, handler: AnyHandler): AnyRouter {
  // An unknown field is a mistake of the caller, and not to be told of it would hide a limit that was not set.
  const builder = os.$context<RpcContext>().input(input.strict());
  const unheard = (): void => undefined;
  if (events === null) {
    return builder.output(output).handler(async ({ input: value, context }) => {
      return (await observed(context, () => handler(value, { ...context, emit: unheard }))) as z.input<typeof output>;
    });
  }
  return builder.output(eventIterator(events, output)).handler(({ input: value, context }) => {
    const work = (emit: (event: unknown) => void): Promise<unknown> =>
      observed(context, () => handler(value, { ...context, emit }));
    return eventsOf(work, () => context.abort(new PyroError("cancelled", "the client went away"))) as AsyncGenerator<
      z.input<typeof events>,
      z.input<typeof output>,
      void
    >;
  });
}

async function observed(context: RpcContext, work: () => Promise<unknown>): Promise<unknown> {
  try {
    const result = await work();
    context.settled(undefined);
    return result;
  } catch (failure) {
    context.settled(PyroError.from(failure));
    throw toWireError(failure);
  }
}
