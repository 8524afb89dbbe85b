/** Operations over a connection, in oRPC's RPC protocol. */
import { ORPCError } from "@orpc/client";
import { StandardLink } from "@orpc/client/standard";
import type { StandardRequest } from "@orpc/standard-server";
import { PyroError, type SerializedError } from "../contract/error.ts";
import { REQUEST_BYTES_MAX, WIRE_ERROR_CODE } from "../contract/wire.ts";
import { readBody } from "./answer-body.ts";
import { cancelled } from "./cancel.ts";
import { type Connection, outcomeUnknown } from "./connection.ts";
import { isIterator, JsonCodec, type LinkContext } from "./json-codec.ts";
import { NotDone } from "./not-done.ts";

export interface RpcOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: never) => void) | undefined;
  readonly onAccepted?: (() => void) | undefined;
}

/** Calls operations by their path in the contract's table. */
export class Rpc {
  readonly #link: StandardLink<LinkContext>;

  constructor(connection: Connection) {
    const link = {
      call: async (
        request: StandardRequest,
        { signal, context }: { signal?: AbortSignal | undefined; context: LinkContext },
      ) => {
        const body = JSON.stringify(request.body);
        if (Buffer.byteLength(body) > REQUEST_BYTES_MAX) {
          throw new PyroError("invalid_argument", `a request has at most ${REQUEST_BYTES_MAX} bytes`);
        }
        const path = request.url.pathname;
        const headers = { "content-type": "application/json" };
        const response = await connection.send({
          method: "POST",
          path,
          headers,
          body,
          signal,
          onAccepted: context.onAccepted,
        });
        return {
          status: response.statusCode ?? 500,
          headers: response.headers,
          body: async () => await readBody(response),
        };
      },
    };
    this.#link = new StandardLink(new JsonCodec(), link);
  }

  /**
   * Calls the operation at `path`, tells its events and gives its result.
   * @throws PyroError what the operation failed with; NotDone when the server did nothing
   */
  async call(path: readonly string[], input: unknown, options: RpcOptions): Promise<unknown> {
    try {
      const output = await this.#link.call(path, input, {
        context: { onAccepted: options.onAccepted },
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      return isIterator(output) ? await drain(output, options.onEvent) : output;
    } catch (failure) {
      throw fromWire(failure, options.signal);
    }
  }
}

async function drain(events: AsyncIterator<unknown>, onEvent: ((event: never) => void) | undefined): Promise<unknown> {
  for (;;) {
    const next = await events.next();
    if (next.done !== true) onEvent?.(next.value as never);
    else if (next.value === undefined) throw outcomeUnknown("the events ended without a result");
    else return next.value;
  }
}

/** Whatever is not an answer of the server's own means that it ended in the middle of one. */
function fromWire(failure: unknown, signal: AbortSignal | undefined): Error {
  if (failure instanceof NotDone || PyroError.is(failure)) return failure;
  if (failure instanceof ORPCError) {
    if (failure.code === WIRE_ERROR_CODE) return PyroError.deserialize(failure.data as SerializedError);
    const refusal: unknown = (failure.data as { body?: { error?: unknown } } | undefined)?.body?.error;
    if (isSerialized(refusal)) return PyroError.deserialize(refusal);
    return new PyroError(
      "protocol_mismatch",
      `the server answered in a way that is not known here: ${failure.message}`,
    );
  }
  return signal?.aborted === true ? cancelled(signal) : outcomeUnknown(failure);
}

function isSerialized(value: unknown): value is SerializedError {
  return typeof value === "object" && value !== null && "code" in value && "message" in value;
}
