/**
 * The one error type of pyro.
 *
 * Every failure of pyro itself is a `PyroError` with a code of the closed set below. What the user's own command did
 * (its exit code, a signal, its time limit) is data in a result, never an error.
 */

/** What each code means, and the exit status of the CLI. Codes are stable: they are part of the public contract. */
export const ERROR_CODES = {
  invalid_argument: { exitCode: 2, meaning: "the call itself is wrong; nothing was touched" },
  not_found: { exitCode: 125, meaning: "the named thing does not exist" },
  already_exists: { exitCode: 125, meaning: "the name is taken" },
  invalid_state: { exitCode: 125, meaning: "the thing exists but cannot do this now" },
  host_unsupported: { exitCode: 125, meaning: "this host cannot run a guest as asked" },
  dependency_missing: { exitCode: 125, meaning: "a program that pyro needs is not installed or too old" },
  permission_denied: { exitCode: 125, meaning: "the host refused access" },
  resource_exhausted: { exitCode: 125, meaning: "disk, memory or a limit is used up" },
  environment_failed: { exitCode: 125, meaning: "an environment could not be built or read" },
  artifact_corrupt: { exitCode: 125, meaning: "a stored file is not what was stored" },
  vmm_failed: { exitCode: 125, meaning: "the VMM did not start, or ended on its own" },
  guest_unreachable: { exitCode: 125, meaning: "the guest agent did not answer" },
  guest_failed: { exitCode: 125, meaning: "the guest agent refused or failed" },
  protocol_mismatch: { exitCode: 125, meaning: "the two sides speak different versions" },
  server_unavailable: { exitCode: 125, meaning: "the pyro server could not be started or reached" },
  deadline_exceeded: { exitCode: 125, meaning: "pyro's own deadline passed" },
  cancelled: { exitCode: 130, meaning: "the caller went away or asked to stop" },
  internal: { exitCode: 125, meaning: "a bug in pyro" },
} as const satisfies Record<string, { exitCode: number; meaning: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Facts that help to understand a failure: exit status, last lines of a log. Text is bounded by whoever fills it. */
export type Evidence = Readonly<Record<string, string | number | boolean>>;

export interface PyroErrorOptions {
  /** What made it fail; its message is shown after ours. */
  cause?: unknown;
  /** The command to run or the thing to change, as one sentence or one command line. */
  remedy?: string;
  evidence?: Evidence;
}

/** A failure in the form in which it crosses a process boundary. */
export interface SerializedError {
  code: ErrorCode;
  message: string;
  cause?: string;
  remedy?: string;
  evidence?: Evidence;
}

const BRAND = Symbol.for("pyro.error");

export class PyroError extends Error {
  override readonly name = "PyroError";
  readonly code: ErrorCode;
  readonly remedy: string | undefined;
  readonly evidence: Evidence;

  constructor(code: ErrorCode, message: string, options: PyroErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    Object.defineProperty(this, BRAND, { value: true });
    this.code = code;
    this.remedy = options.remedy;
    this.evidence = options.evidence ?? {};
  }

  /** Exit status of a CLI process that ends with this error. */
  get exitCode(): number {
    return ERROR_CODES[this.code].exitCode;
  }

  /** Whether `value` is a PyroError, also of another copy of this module. */
  static is(value: unknown): value is PyroError {
    return typeof value === "object" && value !== null && BRAND in value;
  }

  /** The error that `value` is, or an `internal` one around it: what is not typed is a bug. */
  static from(value: unknown): PyroError {
    if (PyroError.is(value)) return value;
    const message = value instanceof Error ? value.message : String(value);
    return new PyroError("internal", `unexpected failure: ${message}`, {
      cause: value,
      remedy: "this is a bug in pyro: please report it with the output of `pyro doctor --json`",
    });
  }

  toJSON(): SerializedError {
    const cause = causeText(this.cause);
    return {
      code: this.code,
      message: this.message,
      ...(cause === undefined ? {} : { cause }),
      ...(this.remedy === undefined ? {} : { remedy: this.remedy }),
      ...(Object.keys(this.evidence).length === 0 ? {} : { evidence: this.evidence }),
    };
  }

  /** The error that another process serialised. An unknown code, of a newer peer, becomes `internal`. */
  static deserialize(data: SerializedError): PyroError {
    const code = Object.hasOwn(ERROR_CODES, data.code) ? data.code : "internal";
    return new PyroError(code, data.message, {
      ...(data.cause === undefined ? {} : { cause: data.cause }),
      ...(data.remedy === undefined ? {} : { remedy: data.remedy }),
      ...(data.evidence === undefined ? {} : { evidence: data.evidence }),
    });
  }
}

function causeText(cause: unknown): string | undefined {
  if (cause === undefined) return undefined;
  if (cause instanceof AggregateError) return cause.errors.map((each) => causeText(each) ?? "").join("; ");
  return cause instanceof Error ? cause.message : typeof cause === "string" ? cause : JSON.stringify(cause);
}
