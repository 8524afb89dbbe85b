/** A workspace's volume, by the calls of the agent that has it mounted. */
import type { TreeCount as TreeCountMessage } from "../guest/generated/pyro/agent/v1/agent_pb.ts";
import type { RunningMachine } from "../vmm/driver.ts";
import { PyroError } from "../contract/error.ts";
import { type GuestLink, guestError } from "../guest/link.ts";
import { compareTrees } from "./guest-compare.ts";
import { guestFiles } from "./guest-files.ts";
import type { MachineVolume, TreeCount, VolumeState } from "./machine.ts";
import { stateOf } from "./volume-state.ts";

/** Writing a guest's memory full of dirty pages to a slow disk. */
const SYNC_DEADLINE_MS = 120_000;

/** What a count that is bounded in the guest may take longer on a loaded host. */
const PINS_SLACK_MS = 10_000;

/** Copying up to 64 GiB under emulation. */
const FLATTEN_DEADLINE_MS = 4 * 3_600_000;

/** The volume that the guest behind `link` was configured with; `vmm` has its drive. */
export function guestVolume(
  link: GuestLink,
  vmm: Pick<RunningMachine, "growVolume">,
  opened: VolumeState,
): MachineVolume {
  const { agent } = link;
  const options = { timeoutMs: SYNC_DEADLINE_MS };
  return {
    opened,
    files: guestFiles(link),
    createSnapshot: async (snapshotId) => {
      const { volume, tree } = await explained("keeping a snapshot", agent.createSnapshot({ snapshotId }, options));
      return { volume: stateOf(volume), tree: countOf(tree) };
    },
    deleteSnapshot: async (snapshotId) => {
      await explained("deleting a snapshot", agent.deleteSnapshot({ snapshotId }, options));
    },
    countPins: async (ids, limitMs) => {
      const call = agent.countPins({ snapshotIds: [...ids], limitMs }, { timeoutMs: limitMs + PINS_SLACK_MS });
      const { pins, complete } = await explained("counting what snapshots pin", call);
      return complete ? new Map(pins.map(({ snapshotId, bytes }) => [snapshotId, Number(bytes)])) : undefined;
    },
    grow: async (sizeBytes) => {
      await vmm.growVolume(sizeBytes);
      return stateOf(
        (await explained("growing the volume", agent.growVolume({ driveBytes: BigInt(sizeBytes) }, options))).volume,
      );
    },
    flatten: async () => {
      const call = agent.flattenVolume({}, { timeoutMs: FLATTEN_DEADLINE_MS });
      return stateOf((await explained("moving the seed into the volume", call)).volume);
    },
    compare: async (request, listener) => await compareTrees(link, request, listener),
    sync: async ({ trim }) => {
      return stateOf((await explained("writing the volume", agent.syncVolume({ trim }, options))).volume);
    },
  };
}

async function explained<T>(what: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (failure) {
    throw guestError(failure, what);
  }
}

/** How the volume is that the guest was configured with, once all is written. */
export async function stateOfVolume({ agent }: GuestLink): Promise<VolumeState> {
  const call = agent.syncVolume({ trim: false }, { timeoutMs: SYNC_DEADLINE_MS });
  return stateOf((await explained("writing the volume", call)).volume);
}

function countOf(message: TreeCountMessage | undefined): TreeCount {
  if (message === undefined) throw new PyroError("guest_failed", "the guest agent did not count what it keeps");
  return { entries: Number(message.entries), bytes: Number(message.bytes), complete: message.complete };
}
