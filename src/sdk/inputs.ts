/**
 * What the methods about machines and commands take, written out: an editor shows these fields and their words, where it
 * would show nothing readable of a type that is derived from a schema. A test holds both against the contract.
 */
import type { MachineEvent, MachineName } from "../contract/run.ts";
import type { CommandIo } from "./command-io.ts";
import type { CallOptions } from "./operation-types.ts";

/** Which machine. */
export interface MachineInput {
  /** environment to start, for example debian:12 */
  readonly environment: string;
  /** vCPUs, 1 to 8; default: the environment's */
  readonly vcpu_count?: number | undefined;
  /** memory in MiB, 256 to 32768; default: the environment's */
  readonly mem_mib?: number | undefined;
  /** VMM and accelerator, refused where they cannot be had; default: the best that works on this host */
  readonly machine?: MachineName | undefined;
  /** hardware: refuse to start where the guest would only be emulated */
  readonly require_isolation?: "any" | "hardware" | undefined;
}

/** How a command is run. */
export interface CommandInput {
  /** seconds until every process of the command is killed; default: 30, with a terminal or detached none */
  readonly timeout_seconds?: number | undefined;
  /** working directory in the guest; default: /workspace */
  readonly cwd?: string | undefined;
  /** NAME=VALUE for the command, repeatable */
  readonly env?: readonly string[] | undefined;
  /** guest user to run as; default: root */
  readonly user?: string | undefined;
}

/** What `pyro.run` takes: a machine, and the one command in it. */
export interface RunInput extends MachineInput, CommandInput {
  /** a list is a program with its arguments; one string is a shell script */
  readonly command: string | readonly string[];
}

/** What may be given to `pyro.run` beside its input: where its bytes go, what it tells, and how it is ended. */
export interface RunOptions extends CallOptions<MachineEvent>, CommandIo {}
