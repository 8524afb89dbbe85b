/** The public SDK. What is exported here is a promise; adding to it is deliberate. */
export { ERROR_CODES, type ErrorCode, type Evidence, PyroError, type SerializedError } from "./contract/error.ts";
export type { EnvironmentDetails, EnvironmentSummary, PullProgress } from "./contract/environment.ts";
export type { AttachResult, CommandSummary } from "./contract/command-operations.ts";
export type { DoctorCheck, DoctorReport, ServerStatus } from "./contract/host-operations.ts";
export type {
  Command,
  ExecResult,
  ExecutionMode,
  Isolation,
  MachineEvent,
  MachineName,
  RunResult,
} from "./contract/run.ts";
export type { LoggedCommand, SnapshotSummary, StopReason, WorkspaceSummary } from "./contract/workspace.ts";
export type { CommandIo, TerminalIo } from "./sdk/command-io.ts";
export type { CommandInput, MachineInput, RunInput, RunOptions } from "./sdk/inputs.ts";
export { type ExecOptions, Machine } from "./sdk/machine.ts";
export type { CallOptions } from "./sdk/operation-types.ts";
export { Pyro, type PyroOptions } from "./sdk/pyro.ts";
