/** Which module does what: each is loaded only when it is called. */
import type { FieldDescription } from "./description.ts";
import type { CliCommand } from "./invocation.ts";

/** A command's function, by the operation's name. */
export const COMMANDS: Readonly<Record<string, () => Promise<CliCommand>>> = {
  doctor: async () => (await import("./commands/doctor.ts")).doctor,
  run: async () => (await import("./commands/run.ts")).run,
  demo: async () => (await import("./commands/demo.ts")).demo,
  "env.list": async () => (await import("./commands/env.ts")).list,
  "env.pull": async () => (await import("./commands/env.ts")).pull,
  "env.inspect": async () => (await import("./commands/env.ts")).inspect,
  "env.prune": async () => (await import("./commands/env.ts")).prune,
  "workspace.create": async () => (await import("./commands/workspace.ts")).create,
  "workspace.list": async () => (await import("./commands/workspace.ts")).list,
  "workspace.status": async () => (await import("./commands/workspace.ts")).status,
  "workspace.update": async () => (await import("./commands/workspace.ts")).update,
  "workspace.start": async () => (await import("./commands/workspace.ts")).start,
  "workspace.stop": async () => (await import("./commands/workspace.ts")).stop,
  "workspace.flatten": async () => (await import("./commands/workspace.ts")).flatten,
  "workspace.delete": async () => (await import("./commands/workspace-delete.ts")).remove,
  "workspace.restore": async () => (await import("./commands/workspace.ts")).restore,
  "workspace.exec": async () => (await import("./commands/workspace-exec.ts")).exec,
  "workspace.command.list": async () => (await import("./commands/detached.ts")).list,
  "workspace.command.attach": async () => (await import("./commands/detached.ts")).attach,
  "workspace.command.kill": async () => (await import("./commands/detached.ts")).kill,
  "workspace.pull": async () => (await import("./commands/workspace.ts")).pull,
  "workspace.logs": async () => (await import("./commands/workspace.ts")).logs,
  "workspace.reset": async () => (await import("./commands/workspace.ts")).reset,
  "workspace.diff": async () => (await import("./commands/workspace-diff.ts")).diff,
  "workspace.sync.push": async () => (await import("./commands/files.ts")).push,
  "workspace.export": async () => (await import("./commands/files.ts")).exportFiles,
  "workspace.file.list": async () => (await import("./commands/files.ts")).list,
  "workspace.file.read": async () => (await import("./commands/files.ts")).read,
  "workspace.file.write": async () => (await import("./commands/files.ts")).write,
  "workspace.file.edit": async () => (await import("./commands/files.ts")).edit,
  "workspace.file.search": async () => (await import("./commands/files.ts")).search,
  "workspace.patch.apply": async () => (await import("./commands/patch.ts")).apply,
  "workspace.snapshot.create": async () => (await import("./commands/snapshot.ts")).create,
  "workspace.snapshot.list": async () => (await import("./commands/snapshot.ts")).list,
  "workspace.snapshot.delete": async () => (await import("./commands/snapshot.ts")).remove,
  "server.status": async () => (await import("./commands/server.ts")).status,
  "server.stop": async () => (await import("./commands/server.ts")).stop,
  "mcp.serve": async () => (await import("./commands/mcp.ts")).serve,
  completion: async () => (await import("./commands/completion.ts")).completion,
};

const flag = (field: string, description: string, short?: string): FieldDescription => ({
  field,
  flag: `--${field}`,
  short,
  kind: "boolean",
  list: false,
  required: false,
  description,
  choices: undefined,
  minimum: undefined,
  above: undefined,
  maximum: undefined,
  pattern: undefined,
  defaultValue: undefined,
});

/** As docker(1) and podman(1) have them; also together: -it. */
const TERMINAL_FLAGS = [
  flag("interactive", "give it standard input, also when that is a terminal", "i"),
  flag("tty", "give it a terminal, the one that standard input is", "t"),
];

/** Flags that are the command line's own and not part of an operation. */
export const EXTRA_FLAGS: Readonly<Record<string, readonly FieldDescription[]>> = {
  doctor: [
    flag("fix", "run the command that mends what is missing, after asking"),
    flag("yes", "with --fix: do not ask"),
  ],
  run: TERMINAL_FLAGS,
  "workspace.exec": [...TERMINAL_FLAGS, flag("detach", "let it go on by itself, and print its id", "d")],
  "workspace.diff": [
    { ...flag("output", "write the patch to this file, which is there as a whole or not at all"), kind: "string" },
    flag("overwrite", "with --output: take the place of a file that is there"),
  ],
  "workspace.create": [flag("id-only", "print the id and nothing else")],
  "workspace.file.write": [
    { ...flag("text-file", "file of this host that has the content; - for standard input"), kind: "string" },
  ],
};

const SHELLS = ["bash", "zsh", "fish"];

/** Commands that are no operations. */
export const EXTRA_COMMANDS = [
  {
    name: "demo",
    path: ["demo"],
    summary: "Run `git --version` in debian:12 and print the result as JSON",
    examples: ["pyro demo"],
    positionals: [],
    rest: undefined,
    flags: [],
  },
  {
    name: "mcp.serve",
    path: ["mcp", "serve"],
    summary: "Serve the operations as MCP tools on standard input and output",
    examples: ["claude mcp add pyro -- pyro mcp serve", "pyro mcp serve --allow-path ~/projects"],
    positionals: [],
    rest: undefined,
    flags: [
      {
        ...flag("allow_path", "directory below which calls may name paths too, besides the current one; repeatable"),
        flag: "--allow-path",
        kind: "string",
        list: true,
      },
    ],
  },
  {
    name: "completion",
    path: ["completion"],
    summary: "Print the completion script of a shell",
    examples: [
      "pyro completion bash > ~/.local/share/bash-completion/completions/pyro",
      "source <(pyro completion zsh)",
    ],
    positionals: [{ ...flag("shell", SHELLS.join(", ")), kind: "string", required: true, choices: SHELLS }],
    rest: undefined,
    flags: [],
  },
] as const;

/** Short words for nouns. */
export const GROUP_ALIASES: Readonly<Record<string, string>> = { workspace: "ws" };

/** The variable that stands in for a workspace that is not named. */
export const WORKSPACE_VARIABLE = "PYRO_WORKSPACE";

/** What the nouns are, for `--help`. */
export const GROUP_SUMMARIES: Readonly<Record<string, string>> = {
  env: "Environments: list, install, inspect, delete",
  workspace: "Workspaces: machines that stay, with a tree that can be taken back",
  "workspace command": "Detached commands (exec --detach): list, attach, kill",
  "workspace sync": "Files of this host into a workspace: push",
  "workspace file": "Single files of a workspace: list, read, write, edit, search",
  "workspace patch": "A patch for the files of a workspace: apply",
  "workspace snapshot": "A workspace's tree under a name: create, list, delete",
  server: "The background server: status, stop",
  mcp: "Model Context Protocol",
};
