/** A server that runs and is not one for this client: whether it may be replaced, and what is said when it is not. */
import { PyroError } from "../contract/error.ts";
import { BUILD_VERSION } from "../contract/version.ts";
import { differingSettings } from "../host/settings.ts";
import type { NotDone } from "./not-done.ts";
import { isOlder } from "./version-order.ts";

/** Whether this client may put a server of its own in the place of an idle one. A newer one is somebody else's choice. */
export function mayReplace({ reason, serverVersion }: NotDone): boolean {
  return reason === "settings" || serverVersion === undefined || !isOlder(BUILD_VERSION, serverVersion);
}

/** Why this client cannot be served. `cause`: why the server could not be replaced. */
export function mismatchError(
  { reason, serverVersion, serverSettings }: NotDone,
  mine: string,
  cause?: unknown,
): PyroError {
  if (reason === "version") {
    const message = `the pyro server has version ${serverVersion ?? "unknown"}, this is ${BUILD_VERSION}`;
    return new PyroError("protocol_mismatch", message, { cause, remedy: "pyro server stop --force" });
  }
  // Names only: a proxy's address may hold a password.
  const names = differingSettings(mine, serverSettings ?? "").join(", ");
  return new PyroError("invalid_state", `the pyro server was started with other settings: ${names}`, {
    cause,
    evidence: { settings: names },
    remedy: "set them as they were then, wait until it is idle, or end what it does: pyro server stop --force",
  });
}
