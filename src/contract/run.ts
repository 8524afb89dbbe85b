/** One command in a fresh machine, and the machine that a caller keeps for several. */
import * as z from "zod";
import { pullProgress } from "./environment.ts";
import {
  COMMAND_BYTES_MAX,
  MEMORY_MIB_MAX,
  MEMORY_MIB_MIN,
  TIMEOUT_SECONDS_DEFAULT,
  TIMEOUT_SECONDS_MAX,
  VCPU_COUNT_MAX,
  VCPU_COUNT_MIN,
} from "./limits.ts";
import { operation } from "./operation.ts";

export const isolation = z
  .enum(["hardware", "emulated"])
  .describe("hardware: the CPU's virtualisation keeps the guest in; emulated: QEMU's TCG, which promises no security");

export const confinement = z
  .enum(["full", "reduced"])
  .describe(
    "full: the VMM has namespaces and a root of its own; reduced: the host does not allow these (doctor says why)",
  );

export const executionMode = z
  .enum(["guest_vsock", "guest_serial"])
  .describe("the link to the guest agent: vsock (Firecracker) or virtio-serial (QEMU)");

/** The machines that pyro knows, best first. */
export const MACHINE_NAMES = ["firecracker", "qemu-kvm", "qemu-tcg"] as const;
export type MachineName = (typeof MACHINE_NAMES)[number];

export const environmentName = z.string().min(1).describe("environment to start, for example debian:12");

export const machineOptions = {
  vcpu_count: z
    .int()
    .min(VCPU_COUNT_MIN)
    .max(VCPU_COUNT_MAX)
    .optional()
    .describe(`vCPUs, ${VCPU_COUNT_MIN} to ${VCPU_COUNT_MAX}; default: the environment's`),
  mem_mib: z
    .int()
    .min(MEMORY_MIB_MIN)
    .max(MEMORY_MIB_MAX)
    .optional()
    .describe(`memory in MiB, ${MEMORY_MIB_MIN} to ${MEMORY_MIB_MAX}; default: the environment's`),
  machine: z
    .enum(MACHINE_NAMES)
    .optional()
    .describe("VMM and accelerator, refused where they cannot be had; default: the best that works on this host"),
  require_isolation: z
    .enum(["any", "hardware"])
    .default("any")
    .describe("hardware: refuse to start where the guest would only be emulated"),
};

const commandBytes = (command: string | string[]): number =>
  typeof command === "string"
    ? Buffer.byteLength(command)
    : command.reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0);

export const command = z
  .union([z.string().min(1), z.array(z.string()).min(1)])
  .refine((value) => commandBytes(value) <= COMMAND_BYTES_MAX, `a command has at most ${COMMAND_BYTES_MAX} bytes`)
  .refine((value) => !(typeof value === "string" ? value : value.join("")).includes("\0"), "a command has no NUL bytes")
  .describe("a list is a program with its arguments; one string is a shell script");

const variable = z.string().regex(/^[^=\0]+=[^\0]*$/, "write NAME=VALUE");

/** Linux: 16 bits each. */
const TERMINAL_SIZE_MAX = 65_535;
export const terminalSize = z.object({
  columns: z.int().min(1).max(TERMINAL_SIZE_MAX),
  rows: z.int().min(1).max(TERMINAL_SIZE_MAX),
});

export const timeoutSeconds = z.number().positive().max(TIMEOUT_SECONDS_MAX);

export const execOptions = {
  command,
  timeout_seconds: timeoutSeconds
    .optional()
    .describe(
      `seconds until every process of the command is killed; default: ${TIMEOUT_SECONDS_DEFAULT}, with a terminal or detached none`,
    ),
  cwd: z.string().startsWith("/").optional().describe("working directory in the guest; default: /workspace"),
  env: z.array(variable).default([]).describe("NAME=VALUE for the command, repeatable"),
  user: z.string().min(1).optional().describe("guest user to run as; default: root"),
  stream_id: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional()
    .describe("name that the caller gives to this command: of its byte streams, and for exec.signal"),
  stdin: z.boolean().default(false).describe("whether the caller feeds standard input through its byte stream"),
  output: z
    .enum(["result", "stream"])
    .default("result")
    .describe("stream: output goes to the caller's byte stream as it comes, and is not in the result"),
  terminal: terminalSize
    .optional()
    .describe("a terminal of this size instead of three pipes; what comes out of it is standard output"),
};

/** The fields of a command that belong to its byte streams. */
export const BYTE_STREAM_FIELDS = ["stream_id", "stdin", "output", "terminal"] as const;

export const execResult = z.object({
  vm_id: z.string(),
  environment: z.string(),
  environment_version: z.string(),
  command: z.string().describe("the command as a shell would take it"),
  stdout: z.string().describe("as UTF-8; what is not valid is replaced"),
  stderr: z.string().describe("as UTF-8; what is not valid is replaced"),
  stdout_base64: z.string().optional().describe("the exact bytes, when they are not valid UTF-8"),
  stderr_base64: z.string().optional().describe("the exact bytes, when they are not valid UTF-8"),
  stdout_dropped_bytes: z.number().describe("bytes past the capture limit that are not in stdout"),
  stderr_dropped_bytes: z.number().describe("bytes past the capture limit that are not in stderr"),
  exit_code: z.number().describe("as a shell gives it: 0-255, 128+n for signal n, 124 at the time limit, 126, 127"),
  signal: z.number().nullable().describe("signal number that ended the command, or null"),
  timed_out: z.boolean(),
  out_of_memory: z.boolean().describe("whether the guest's kernel killed a process of the command for want of memory"),
  duration_ms: z.number().describe("milliseconds the command ran in the guest"),
  execution_mode: executionMode,
  isolation,
  confinement,
});

export const cleanup = z.object({
  vm_id: z.string(),
  deleted: z.boolean(),
  reason: z.enum(["post_exec_cleanup", "run_vm_error_cleanup", "explicit_delete"]),
});

const machinePhase = z.object({
  phase: z.enum(["create", "start", "execute"]),
  environment: z.string().optional(),
  vm_id: z.string().optional(),
});

/** What happens on the way to a running machine: an environment's installation, then the machine's own phases. */
export const machineEvent = z.discriminatedUnion("type", [
  z.object({ type: z.literal("pull"), progress: pullProgress }),
  z.object({ type: z.literal("machine"), ...machinePhase.shape }),
]);

export const run = operation({
  name: "run",
  summary: "Run one command in a fresh microVM and delete it",
  input: z.object({ environment: environmentName, ...execOptions, ...machineOptions }),
  output: execResult.extend({ cleanup }),
  events: machineEvent,
  plumbing: BYTE_STREAM_FIELDS,
  place: "server",
  cli: {
    path: ["run"],
    positionals: ["environment"],
    rest: "command",
    short: { env: "e", cwd: "w", user: "u" },
    examples: [
      "pyro run debian:12 -- git --version",
      "pyro run debian:12 -- 'cat /etc/os-release | head -1'",
      "tar c src | pyro run debian:12-build -- sh -c 'tar x && make'",
      "pyro run debian:12 --json --timeout-seconds 5 -- sleep 10",
      "pyro run debian:12 --machine qemu-tcg -- uname -r",
    ],
  },
  mcp: { readOnly: false, destructive: false },
});

const vmId = z.string().regex(/^[0-9a-f]{12}$/, "a machine's id has 12 hexadecimal digits");

export const machineReady = z.object({
  type: z.literal("ready"),
  vm_id: vmId,
  environment: z.string(),
  environment_version: z.string(),
  vcpu_count: z.int(),
  mem_mib: z.int(),
  execution_mode: executionMode,
  isolation,
  confinement,
});

/** The machine lives as long as the call: who opened it and goes away, takes it along. The call ends with `machine.close`. */
export const machineOpen = operation({
  name: "machine.open",
  summary: "Start a machine that lives as long as this call",
  input: z.object({ environment: environmentName, ...machineOptions }),
  output: z.object({ vm_id: vmId }),
  events: z.discriminatedUnion("type", [...machineEvent.options, machineReady]),
  place: "server",
  cli: null,
  mcp: null,
});

export const machineClose = operation({
  name: "machine.close",
  summary: "End an open machine and wait until every trace of it is gone",
  input: z.object({ vm_id: vmId }),
  output: z.object({ cleanup }),
  events: null,
  place: "server",
  cli: null,
  mcp: null,
});

export const machineExec = operation({
  name: "machine.exec",
  summary: "Run one command in an open machine",
  input: z.object({ vm_id: vmId, ...execOptions }),
  output: execResult,
  events: null,
  plumbing: BYTE_STREAM_FIELDS,
  place: "server",
  cli: null,
  mcp: null,
});

export const execSignal = operation({
  name: "exec.signal",
  summary: "Send a signal to a command that runs under a stream id",
  input: z.object({
    stream_id: z.string().regex(/^[0-9a-f]{32}$/),
    signal: z.int().min(1).max(31).describe("Linux signal number"),
  }),
  output: z.object({ delivered: z.boolean() }),
  events: null,
  place: "server",
  cli: null,
  mcp: null,
});

export const execResize = operation({
  name: "exec.resize",
  summary: "Change the size of the terminal of a command that runs under a stream id",
  input: z.object({ stream_id: z.string().regex(/^[0-9a-f]{32}$/), terminal: terminalSize }),
  output: z.object({ delivered: z.boolean() }),
  events: null,
  place: "server",
  cli: null,
  mcp: null,
});

export type TerminalSize = z.infer<typeof terminalSize>;
export type ConfinementLevel = z.infer<typeof confinement>;
export type Isolation = z.infer<typeof isolation>;
export type ExecutionMode = z.infer<typeof executionMode>;
export type ExecResult = z.infer<typeof execResult>;
export type RunResult = z.infer<typeof run.output>;
export type MachineEvent = z.infer<typeof machineEvent>;
export type MachineReady = z.infer<typeof machineReady>;
export type Command = z.infer<typeof command>;
