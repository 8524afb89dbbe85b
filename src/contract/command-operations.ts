/** Commands of a workspace that outlive their caller. */
import * as z from "zod";
import { operation } from "./operation.ts";
import { BYTE_STREAM_FIELDS, execOptions, execResult, timeoutSeconds } from "./run.ts";
import { workspaceReference } from "./workspace.ts";

const workspace = workspaceReference;
const execId = z
  .string()
  .regex(/^[0-9a-f]{16}$/, "a command's id has 16 hexadecimal digits")
  .describe("id of the command, as `exec --detach` gives it");

/** Signals by their names, without SIG, and their numbers in Linux. */
export const SIGNAL_NUMBERS = { HUP: 1, INT: 2, QUIT: 3, KILL: 9, USR1: 10, USR2: 12, TERM: 15, CONT: 18, STOP: 19 };
const SIGNAL_NAMES = Object.keys(SIGNAL_NUMBERS) as [keyof typeof SIGNAL_NUMBERS];

export const commandSummary = z.object({
  exec_id: z.string(),
  sequence: z.int().describe("number of the command in this workspace"),
  command: z.string().describe("the command as a shell would take it"),
  cwd: z.string(),
  state: z.enum(["running", "exited"]),
  exit_code: z.int().nullable().describe("as a shell gives it, once it has ended"),
  signal: z.int().nullable().describe("signal number that ended it, or null"),
  timed_out: z.boolean(),
  out_of_memory: z.boolean().describe("whether the guest's kernel killed a process of the command for want of memory"),
  started_at: z.string().describe("RFC 3339 time"),
  duration_ms: z.number().nullable().describe("milliseconds it ran in the guest, once it has ended"),
});

const { command, cwd, env, user, stream_id, output } = execOptions;

export const commandStart = operation({
  name: "workspace.command.start",
  summary: "Start a command in a workspace that goes on without its caller",
  input: z.object({
    workspace,
    command,
    timeout_seconds: timeoutSeconds
      .optional()
      .describe("seconds until every process of the command is killed; default: none"),
    cwd,
    env,
    user,
  }),
  output: commandSummary.extend({ workspace_id: z.string() }),
  events: null,
  place: "server",
  // `workspace exec --detach` is its command.
  cli: null,
  mcp: { readOnly: false, destructive: false },
});

export const commandList = operation({
  name: "workspace.command.list",
  summary: "List a workspace's detached commands: those that run, and the last that ended",
  input: z.object({ workspace }),
  output: z.object({ workspace_id: z.string(), count: z.int(), commands: z.array(commandSummary) }),
  events: null,
  place: "server",
  cli: {
    path: ["workspace", "command", "list"],
    positionals: ["workspace"],
    examples: ["pyro workspace command list api"],
  },
  mcp: { readOnly: true, destructive: false },
});

export const commandAttach = operation({
  name: "workspace.command.attach",
  summary:
    "Show what a detached command printed, from the beginning, until it ends; its exit status is that of the command",
  input: z.object({
    workspace,
    exec_id: execId,
    so_far: z.boolean().default(false).describe("only what it printed so far"),
    stream_id,
    stdin: z.literal(false).default(false).describe("it has no standard input"),
    output,
  }),
  output: commandSummary.extend({
    workspace_id: z.string(),
    stdout: execResult.shape.stdout,
    stderr: execResult.shape.stderr,
    stdout_base64: execResult.shape.stdout_base64,
    stderr_base64: execResult.shape.stderr_base64,
    stdout_dropped_bytes: z.number().describe("bytes that are no longer kept, or past the capture limit"),
    stderr_dropped_bytes: z.number().describe("bytes that are no longer kept, or past the capture limit"),
  }),
  events: z.object({
    type: z.literal("dropped"),
    stream: z.enum(["stdout", "stderr"]),
    bytes: z.number().describe("bytes that are no longer kept, before those that follow"),
  }),
  plumbing: BYTE_STREAM_FIELDS,
  place: "server",
  cli: {
    path: ["workspace", "command", "attach"],
    positionals: ["workspace", "exec_id"],
    examples: [
      "pyro workspace command attach api 5d1c0e9a7b3f2846",
      "pyro workspace command attach api 5d1c0e9a7b3f2846 --so-far",
    ],
  },
  mcp: { readOnly: true, destructive: false },
});

export const commandKill = operation({
  name: "workspace.command.kill",
  summary: "Send a signal to a detached command",
  input: z.object({
    workspace,
    exec_id: execId,
    signal: z.enum(SIGNAL_NAMES).default("TERM").describe("to its process group; KILL: to every process of it"),
  }),
  output: z.object({
    workspace_id: z.string(),
    exec_id: z.string(),
    delivered: z.boolean().describe("false: it had ended"),
  }),
  events: null,
  place: "server",
  cli: {
    path: ["workspace", "command", "kill"],
    positionals: ["workspace", "exec_id"],
    examples: [
      "pyro workspace command kill api 5d1c0e9a7b3f2846",
      "pyro workspace command kill api 5d1c0e9a7b3f2846 --signal KILL",
    ],
  },
  mcp: { readOnly: false, destructive: true },
});

export type CommandSummary = z.infer<typeof commandSummary>;
export type AttachResult = z.infer<typeof commandAttach.output>;
export type AttachEvent = z.infer<typeof commandAttach.events>;
