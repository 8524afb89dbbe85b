import { PyroError } from "../contract/error.ts";
import type { DoctorReport } from "../contract/host-operations.ts";
import type { Operations } from "../contract/operations.ts";
import type { ExecResult, MachineEvent, RunResult } from "../contract/run.ts";
import { type HostPaths, hostPaths, serverSocketPath } from "../host/paths.ts";
import { settingsDigest, settingsOf } from "../host/settings.ts";
import { callCommand, type CommandOptions } from "./command.ts";
import { Connection } from "./connection.ts";
import { Machine } from "./machine.ts";
import type { MachineInput, RunInput, RunOptions } from "./inputs.ts";
import type { CallOptions, EventOf, Methods } from "./operation-types.ts";
import { withPatchFile } from "./patch-file.ts";
import { Rpc } from "./rpc.ts";
import { withAbsolutePath, withRepository, withUmask } from "./own-paths.ts";
import { ServerControl } from "./server-control.ts";

export interface PyroOptions {
  /** Where pyro keeps its things. Default: what `env` says. */
  readonly paths?: HostPaths;
  /** Environment variables that say where things are, and of which the server gets the harmless ones. Default: the process's. */
  readonly env?: NodeJS.ProcessEnv;
  /** The server's main module, for tests. @internal */
  readonly serverEntry?: string;
}

/**
 * pyro from a program: starts the server when it is needed and calls its operations.
 *
 * Keeps no process alive: connections that nobody waits for do not count.
 */
export class Pyro implements Methods {
  readonly #connection: Connection;
  readonly #rpc: Rpc;
  readonly #control: ServerControl;
  readonly #host: Pick<PyroOptions, "env" | "paths">;

  readonly env: Methods["env"];
  readonly server: Methods["server"];
  readonly workspace: Methods["workspace"];

  constructor(options: PyroOptions = {}) {
    const env = options.env ?? process.env;
    this.#host = { env, ...(options.paths === undefined ? {} : { paths: options.paths }) };
    const paths = options.paths ?? hostPaths(env);
    this.#connection = new Connection(serverSocketPath(paths), settingsDigest(settingsOf(env, paths)));
    this.#rpc = new Rpc(this.#connection);
    this.#control = new ServerControl({ paths, env, entry: options.serverEntry }, this.#rpc);
    this.env = {
      list: this.#method("env", "list"),
      pull: this.#method("env", "pull"),
      inspect: this.#method("env", "inspect"),
      prune: this.#method("env", "prune"),
    };
    this.workspace = {
      create: withAbsolutePath(this.#method("workspace", "create"), "seed_path"),
      list: this.#method("workspace", "list"),
      status: this.#method("workspace", "status"),
      update: this.#method("workspace", "update"),
      start: this.#method("workspace", "start"),
      stop: this.#method("workspace", "stop"),
      flatten: this.#method("workspace", "flatten"),
      delete: this.#method("workspace", "delete"),
      restore: this.#method("workspace", "restore"),
      exec: this.#command("workspace", "exec"),
      pull: withRepository(this.#method("workspace", "pull")),
      logs: this.#method("workspace", "logs"),
      reset: this.#method("workspace", "reset"),
      diff: this.#command("workspace", "diff"),
      command: {
        start: this.#method("workspace", "command", "start"),
        list: this.#method("workspace", "command", "list"),
        attach: this.#command("workspace", "command", "attach"),
        kill: this.#method("workspace", "command", "kill"),
      },
      sync: { push: withAbsolutePath(this.#method("workspace", "sync", "push"), "source_path") },
      export: withUmask(withAbsolutePath(this.#command("workspace", "export"), "output_path")),
      file: {
        list: this.#method("workspace", "file", "list"),
        read: this.#method("workspace", "file", "read"),
        write: this.#method("workspace", "file", "write"),
        edit: this.#method("workspace", "file", "edit"),
        search: this.#method("workspace", "file", "search"),
      },
      patch: { apply: withPatchFile(this.#command("workspace", "patch", "apply")) },
      snapshot: {
        create: this.#method("workspace", "snapshot", "create"),
        list: this.#method("workspace", "snapshot", "list"),
        delete: this.#method("workspace", "snapshot", "delete"),
      },
    };
    this.server = {
      status: async () => await this.#control.status(),
      stop: async (input) => await this.#control.stop(input),
    };
  }

  /** Says whether this host can run a guest. Needs no server. */
  async doctor(): Promise<DoctorReport> {
    const { runDoctor } = await import("../doctor/doctor.ts");
    return await runDoctor(this.#host);
  }

  /**
   * Runs one command in a machine of its own. What the command does, its exit code included, is the result.
   * @throws PyroError when pyro or the machine failed
   */
  async run(input: RunInput, options: RunOptions = {}): Promise<RunResult> {
    return (await this.#callCommand(["run"], input, options)) as RunResult;
  }

  /** Starts a machine that is yours until you close it, or this process ends. */
  async machine(input: MachineInput, options: CallOptions<MachineEvent> = {}): Promise<Machine> {
    return await this.#control.withServer(async () => await this.#open(input, options), options.signal);
  }

  /** Cuts all connections. Machines that are still open end. */
  close(): void {
    this.#connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #method(...path: string[]): never {
    const method = async (input: unknown = {}, options: CallOptions = {}): Promise<unknown> => {
      return await this.#control.withServer(async () => await this.#rpc.call(path, input, options), options.signal);
    };
    // The table's types say what comes; the server has checked both sides against it.
    return method as never;
  }

  /** As `#method`, of an operation that takes and gives bytes. */
  #command(...path: string[]): never {
    const method = async (input: object, options: CommandOptions = {}): Promise<unknown> =>
      await this.#callCommand(path, input, options);
    return method as never;
  }

  async #callCommand(path: readonly string[], input: object, options: CommandOptions): Promise<unknown> {
    const parts = { rpc: this.#rpc, connection: this.#connection };
    const call = async (): Promise<unknown> => await callCommand(parts, { path, input }, options);
    return await this.#control.withServer(call, options.signal);
  }

  async #exec(input: object, options: CommandOptions): Promise<ExecResult> {
    const parts = { rpc: this.#rpc, connection: this.#connection };
    const call = async (): Promise<unknown> => await callCommand(parts, { path: ["machine", "exec"], input }, options);
    return (await this.#control.withSameServer(call)) as ExecResult;
  }

  async #open(input: unknown, { signal, onEvent }: CallOptions<MachineEvent>): Promise<Machine> {
    return await new Promise<Machine>((resolve, reject) => {
      const hear = (event: EventOf<Operations["machine"]["open"]>): void => {
        if (event.type !== "ready") return onEvent?.(event);
        resolve(
          new Machine(event, {
            exec: async (execInput, options) => await this.#exec(execInput, options),
            close: async (id) =>
              await this.#control.withSameServer(
                async () => await this.#rpc.call(["machine", "close"], { vm_id: id }, {}),
              ),
            held,
          }),
        );
      };
      const held = this.#rpc.call(["machine", "open"], input, { signal, onEvent: hear });
      held.then(() => reject(new PyroError("internal", "the machine ended before it was ready")), reject);
    });
  }
}
