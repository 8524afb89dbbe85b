/** How a volume is, as the agent says it. */
import { PyroError } from "../contract/error.ts";
import type { VolumeState as StateMessage } from "../guest/generated/pyro/agent/v1/agent_pb.ts";

/** How a workspace's volume is. */
export interface VolumeState {
  /** Changes with every change to the workspace's tree, and with nothing else. */
  readonly workspaceGeneration: number;
  readonly totalBytes: number;
  readonly usedBytes: number;
}

/** The agent's word on its volume. @throws PyroError guest_failed when it gave none */
export function stateOf(message: StateMessage | undefined): VolumeState {
  if (message === undefined) throw new PyroError("guest_failed", "the guest agent did not say how the volume is");
  return {
    workspaceGeneration: Number(message.workspaceGeneration),
    totalBytes: Number(message.totalBytes),
    usedBytes: Number(message.usedBytes),
  };
}
