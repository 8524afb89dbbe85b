/** What tests ask of workspaces that no guest is behind. */
import type { CreateCall, NewWorkspace } from "../../src/workspace/new-workspace.ts";

/** A workspace as whoever says nothing else gets it. */
export const NEW_WORKSPACE: NewWorkspace = {
  environment: "debian:12",
  name: undefined,
  labels: {},
  ttlSeconds: 3600,
  vcpuCount: undefined,
  memoryMib: undefined,
  machine: undefined,
  requireIsolation: "any",
  seedPath: undefined,
  seedIgnore: false,
};

/** A caller that neither goes away nor wants to hear how far it is. */
export const call: CreateCall = {
  signal: new AbortController().signal,
  onPull: () => undefined,
  onPhase: () => undefined,
  onSeed: () => undefined,
};
