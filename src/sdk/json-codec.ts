/**
 * oRPC's RPC protocol for JSON bodies.
 *
 * oRPC's own codec also knows forms and files, and merely to ask whether a value is a `FormData` makes Node load its
 * whole fetch: 20 of the 80 ms that a call of the CLI took beside Node itself.
 */
import { createORPCErrorFromJson, isORPCErrorJson, isORPCErrorStatus, mapEventIterator, ORPCError } from "@orpc/client";
import { type StandardLinkCodec, StandardRPCJsonSerializer, toHttpPath } from "@orpc/client/standard";
import { ErrorEvent, type StandardLazyResponse, type StandardRequest } from "@orpc/standard-server";
import { RPC_PREFIX } from "../contract/wire.ts";

/** What a call tells its link beside its input. */
export interface LinkContext {
  /** The server has begun. */
  readonly onAccepted?: (() => void) | undefined;
}

export class JsonCodec implements StandardLinkCodec<LinkContext> {
  readonly #serializer = new StandardRPCJsonSerializer();

  encode(
    path: readonly string[],
    input: unknown,
    { signal }: { signal?: AbortSignal | undefined },
  ): Promise<StandardRequest> {
    const [json, meta] = this.#serializer.serialize(input);
    const url = new URL(`http://pyro${RPC_PREFIX}${toHttpPath(path)}`);
    return Promise.resolve({ url, method: "POST", headers: {}, body: { json, meta }, signal });
  }

  async decode(response: StandardLazyResponse): Promise<unknown> {
    const body = await response.body();
    if (!isORPCErrorStatus(response.status))
      return isIterator(body) ? this.#decodeEvents(body) : this.#decodeValue(body);
    const error = isEnvelope(body) ? this.#decodeValue(body) : undefined;
    if (isORPCErrorJson(error)) throw createORPCErrorFromJson(error);
    throw new ORPCError("MALFORMED_ORPC_ERROR_RESPONSE", { status: response.status, data: { body } });
  }

  #decodeEvents(events: AsyncIterator<unknown>): AsyncIterator<unknown> {
    return mapEventIterator(events, {
      value: (value: unknown) => Promise.resolve(this.#decodeValue(value)),
      error: (failure: unknown) => {
        const error = failure instanceof ErrorEvent ? this.#decodeValue(failure.data) : undefined;
        return Promise.resolve(isORPCErrorJson(error) ? createORPCErrorFromJson(error, { cause: failure }) : failure);
      },
    });
  }

  #decodeValue(data: unknown): unknown {
    if (data === undefined) return undefined;
    if (!isEnvelope(data)) throw new TypeError("not a value of the RPC protocol");
    return this.#serializer.deserialize(data.json, (data.meta ?? []) as never);
  }
}

interface Envelope {
  readonly json?: unknown;
  readonly meta?: unknown;
}

function isEnvelope(data: unknown): data is Envelope {
  return typeof data === "object" && data !== null && "json" in data;
}

/** Whether a call answered with events. */
export function isIterator(value: unknown): value is AsyncIterator<unknown> {
  return typeof value === "object" && value !== null && "next" in value && typeof value.next === "function";
}
