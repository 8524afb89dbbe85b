/** The table of all operations: the one list that every front end and the server are made from. */
import { commandAttach, commandKill, commandList, commandStart } from "./command-operations.ts";
import { workspaceDiff } from "./diff-operations.ts";
import { envInspect, envList, envPrune, envPull } from "./env-operations.ts";
import { fileEdit, fileList, fileRead, fileSearch, fileWrite, syncPush, workspaceExport } from "./file-operations.ts";
import { doctor, serverStatus, serverStop } from "./host-operations.ts";
import type { Operation } from "./operation.ts";
import { patchApply } from "./patch-operations.ts";
import {
  snapshotCreate,
  snapshotDelete,
  snapshotList,
  workspaceCreate,
  workspaceDelete,
  workspaceExec,
  workspaceFlatten,
  workspaceList,
  workspaceLogs,
  workspacePull,
  workspaceReset,
  workspaceRestore,
  workspaceStart,
  workspaceStatus,
  workspaceStop,
  workspaceUpdate,
} from "./workspace-operations.ts";
import { execResize, execSignal, machineClose, machineExec, machineOpen, run } from "./run.ts";

export const operations = {
  doctor,
  run,
  env: { list: envList, pull: envPull, inspect: envInspect, prune: envPrune },
  workspace: {
    create: workspaceCreate,
    list: workspaceList,
    status: workspaceStatus,
    update: workspaceUpdate,
    start: workspaceStart,
    stop: workspaceStop,
    flatten: workspaceFlatten,
    delete: workspaceDelete,
    restore: workspaceRestore,
    exec: workspaceExec,
    pull: workspacePull,
    logs: workspaceLogs,
    reset: workspaceReset,
    diff: workspaceDiff,
    command: { start: commandStart, list: commandList, attach: commandAttach, kill: commandKill },
    sync: { push: syncPush },
    export: workspaceExport,
    file: { list: fileList, read: fileRead, write: fileWrite, edit: fileEdit, search: fileSearch },
    patch: { apply: patchApply },
    snapshot: { create: snapshotCreate, list: snapshotList, delete: snapshotDelete },
  },
  machine: { open: machineOpen, exec: machineExec, close: machineClose },
  exec: { signal: execSignal, resize: execResize },
  server: { status: serverStatus, stop: serverStop },
} as const;

export type Operations = typeof operations;

/** Operations by the parts of their names. */
export interface OperationTree {
  readonly [name: string]: Operation | OperationTree;
}

/** Every operation of the table, in its order. */
export function allOperations(tree: OperationTree = operations): Operation[] {
  return Object.values(tree).flatMap((entry) => (isOperation(entry) ? [entry] : allOperations(entry)));
}

export function isOperation(entry: Operation | OperationTree): entry is Operation {
  return typeof entry["summary"] === "string";
}
