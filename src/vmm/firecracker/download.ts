/** Fetches one file of known size and content over HTTPS into memory; the caller compares its hash. */
import { PyroError } from "../../contract/error.ts";

export interface DownloadLimits {
  readonly bytesMax: number;
  /** From the first request to the last byte. */
  readonly deadlineMs: number;
  /** Without a single byte. */
  readonly stallMs: number;
}

/** GitHub answers with one, to its store; a mirror may have one of its own. */
const REDIRECTS_MAX = 5;
const REDIRECT_STATUS = [301, 302, 303, 307, 308];

/**
 * @throws PyroError invalid_argument for an address that is not https (or http to this host), not_found, dependency_missing
 *   when it cannot be fetched, deadline_exceeded, resource_exhausted past `bytesMax`, cancelled
 */
export async function download(url: string, limits: DownloadLimits, signal?: AbortSignal): Promise<Buffer> {
  const stop = new AbortController();
  const late = (what: string): void =>
    stop.abort(new PyroError("deadline_exceeded", `${url}: ${what}`, { remedy: MIRROR_REMEDY }));
  const deadline = setTimeout(() => late(`not fetched within ${limits.deadlineMs} ms`), limits.deadlineMs);
  const stall = setTimeout(() => late(`no byte came for ${limits.stallMs} ms`), limits.stallMs);
  const onAbort = (): void => stop.abort(new PyroError("cancelled", "the download was cancelled"));
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const response = await request(url, stop.signal);
    return await body(response, { url, bytesMax: limits.bytesMax, onBytes: () => void stall.refresh() });
  } catch (failure) {
    if (stop.signal.aborted && PyroError.is(stop.signal.reason)) throw stop.signal.reason;
    if (PyroError.is(failure)) throw failure;
    throw new PyroError("dependency_missing", `${url} could not be fetched`, {
      cause: innermost(failure),
      remedy: MIRROR_REMEDY,
    });
  } finally {
    clearTimeout(deadline);
    clearTimeout(stall);
    signal?.removeEventListener("abort", onAbort);
    // Ends what a refusal left of the answer.
    stop.abort();
  }
}

const MIRROR_REMEDY =
  "look at the host's connection, or set PYRO_FIRECRACKER_MIRROR to a server that this host reaches (docs/host-requirements.md)";

/** Follows redirects one by one, each held against the same rule. */
async function request(url: string, signal: AbortSignal): Promise<Response> {
  let address = checkedAddress(url);
  for (let hops = 0; hops <= REDIRECTS_MAX; hops += 1) {
    const response = await fetch(address, {
      redirect: "manual",
      signal,
      // The archive as it is: its hash is known.
      headers: { "accept-encoding": "identity" },
    });
    const location = response.headers.get("location");
    if (!REDIRECT_STATUS.includes(response.status) || location === null) return answered(response, address);
    address = checkedAddress(new URL(location, address).href);
  }
  throw new PyroError("dependency_missing", `${url} redirects more than ${REDIRECTS_MAX} times`, {
    remedy: MIRROR_REMEDY,
  });
}

function answered(response: Response, address: URL): Response {
  if (response.status === 200) return response;
  const code = response.status === 404 ? "not_found" : "dependency_missing";
  throw new PyroError(code, `${address.origin}${address.pathname} was answered with status ${response.status}`, {
    remedy: MIRROR_REMEDY,
  });
}

/** What is fetched is held against a hash, so https guards the fact of fetching; a server on this host needs none. */
function checkedAddress(url: string): URL {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  if (address?.protocol === "https:") return address;
  if (address?.protocol === "http:" && ["127.0.0.1", "[::1]", "localhost"].includes(address.hostname)) return address;
  throw new PyroError("invalid_argument", `${url} is not an https address (http is for servers on this host only)`, {
    remedy: "set PYRO_FIRECRACKER_MIRROR to an https address, or unset it",
  });
}

async function body(
  response: Response,
  { url, bytesMax, onBytes }: { url: string; bytesMax: number; onBytes: () => void },
): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let total = 0;
  for await (const piece of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    total += piece.length;
    if (total > bytesMax) throw new PyroError("resource_exhausted", `${url} has more than ${bytesMax} bytes`);
    pieces.push(piece);
    onBytes();
  }
  return Buffer.concat(pieces);
}

/** fetch says "fetch failed" and has the reason inside. */
function innermost(failure: unknown): unknown {
  return failure instanceof Error && failure.cause !== undefined ? innermost(failure.cause) : failure;
}
