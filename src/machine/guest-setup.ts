/** The duties of every start: what makes a restored machine a new one before it answers its first command. */
import { randomBytes } from "node:crypto";
import { PyroError } from "../contract/error.ts";
import { guestError, type GuestLink } from "../guest/link.ts";
import { stateOf } from "./volume-state.ts";
import type { VolumeRequest, VolumeState } from "./machine.ts";

/** Bytes of host randomness given to the guest's kernel; it reseeds with 32 (drivers/char/random.c). */
const ENTROPY_BYTES = 64;
const CONFIGURE_DEADLINE_MS = 30_000;
/** The same with a volume whose log is replayed, on a busy disk. */
const VOLUME_DEADLINE_MS = 120_000;
/** Reading the root file system's first pages and running a program under TCG on a loaded host. */
const PREPARE_DEADLINE_MS = 120_000;

/** How long a machine that keeps nothing lives without a server: its caller went with that. */
const ALONE_LIMIT_SECONDS = 60;

export const WORKSPACE_PATH = "/workspace";

/**
 * Has the guest read what nearly every command reads: a shell, the loader with the C library, the tables of users, the first
 * programs of coreutils. What an image lacks of it is no failure.
 */
const WARM_UP = ["/bin/sh", "-c", "/bin/ls -l /; /bin/cat /etc/passwd /etc/group; /bin/true; :"];

/** Gives the guest entropy, time and identity, its root file system, and the volume if it is to have one: how that is. */
export async function configureGuest(
  link: GuestLink,
  machineId: string,
  volume?: VolumeRequest & { readonly driveBytes: number | undefined },
): Promise<VolumeState | undefined> {
  try {
    const answer = await link.agent.configure(
      {
        entropy: randomBytes(ENTROPY_BYTES),
        unixTimeNs: unixTimeNs(),
        machineId: randomBytes(16).toString("hex"),
        hostname: `pyro-${machineId}`,
        workspacePath: WORKSPACE_PATH,
        aloneLimitSeconds: volume?.aloneLimitSeconds ?? ALONE_LIMIT_SECONDS,
        ...(volume === undefined
          ? {}
          : {
              volume: {
                snapshotIds: [...volume.snapshotIds],
                resetTo: volume.resetTo ?? "",
                seeded: volume.seedPath !== undefined,
                driveBytes: BigInt(volume.driveBytes ?? 0),
              },
            }),
      },
      { timeoutMs: volume === undefined ? CONFIGURE_DEADLINE_MS : VOLUME_DEADLINE_MS },
    );
    return volume === undefined ? undefined : stateOf(answer.volume);
  } catch (failure) {
    const error = guestError(failure, "setting the guest up");
    throw error.code === "resource_exhausted" ? fullVolume(error) : error;
  }
}

function fullVolume(cause: PyroError): PyroError {
  return new PyroError("resource_exhausted", `the volume is full: ${cause.message}`, {
    cause,
    remedy: "make it larger: pyro workspace update NAME --volume-gib N",
    evidence: { full: "volume" },
  });
}

/** Whether a machine was not opened because its volume is full to its end. */
export const isFullVolume = (failure: unknown): boolean =>
  PyroError.is(failure) && failure.code === "resource_exhausted" && failure.evidence["full"] === "volume";

/** Brings a freshly booted guest to the state that its template is saved in. */
export async function prepareTemplate(link: GuestLink): Promise<void> {
  try {
    await link.agent.prepareTemplate(
      { warmArgv: WARM_UP, workspacePath: WORKSPACE_PATH },
      { timeoutMs: PREPARE_DEADLINE_MS },
    );
  } catch (failure) {
    throw guestError(failure, "preparing the template");
  }
}

/** The host's clock for the guest. */
export function unixTimeNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}
