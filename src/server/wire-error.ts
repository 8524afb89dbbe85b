/** How failures leave the server: always a PyroError, carried in the data of an oRPC error. */
import { ORPCError } from "@orpc/server";
import { PyroError } from "../contract/error.ts";
import { WIRE_ERROR_CODE } from "../contract/wire.ts";

/** The oRPC error that carries `failure` to the client. */
export function toWireError(failure: unknown): ORPCError<string, unknown> {
  if (failure instanceof ORPCError && failure.code === WIRE_ERROR_CODE) return failure;
  const error = toPyroError(failure);
  return new ORPCError(WIRE_ERROR_CODE, { status: 500, message: error.message, data: error.toJSON() });
}

/** The PyroError that `failure` means. oRPC says with BAD_REQUEST that the input does not fit its schema. */
function toPyroError(failure: unknown): PyroError {
  if (!(failure instanceof ORPCError)) return PyroError.from(failure);
  if (failure.code === "BAD_REQUEST") return invalidInput(failure.data);
  return new PyroError("internal", `unexpected failure: ${failure.message}`, { cause: failure.cause ?? failure });
}

interface Issue {
  readonly message: string;
  readonly path?: readonly unknown[];
}

function invalidInput(data: unknown): PyroError {
  const issues = hasIssues(data) ? data.issues : [];
  const texts = issues.map(({ path, message }) =>
    path === undefined || path.length === 0 ? message : `${path.join(".")}: ${message}`,
  );
  return new PyroError("invalid_argument", texts.length === 0 ? "the request is not valid" : texts.join("; "));
}

function hasIssues(data: unknown): data is { issues: readonly Issue[] } {
  return typeof data === "object" && data !== null && "issues" in data && Array.isArray(data.issues);
}
