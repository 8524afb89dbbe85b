/** A pyro installation of a test's own: directories, a server with fake machines, and the CLI as a process. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, writeFile } from "node:fs/promises";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { BUILD_VERSION } from "../../src/contract/version.ts";
import { SETTINGS_HEADER, VERSION_HEADER } from "../../src/contract/wire.ts";
import { type HostPaths, hostPaths } from "../../src/host/paths.ts";
import { settingsDigest, settingsOf } from "../../src/host/settings.ts";
import { Pyro } from "../../src/sdk/pyro.ts";
import type { Environments } from "../../src/server/context.ts";
import { type RunningServer, startServer } from "../../src/server/server.ts";
import { Workspaces } from "../../src/workspace/workspaces.ts";
import { fakeEnvironments } from "./fake-environments.ts";
import { FakeMachines } from "./fake-machines.ts";

const compiled = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The CLI's and the fake server's main modules, compiled. */
export const CLI = compiled("../../src/bin.js");
const FAKE_SERVER = compiled("./fake-server.js");
/** Tests run with the checkout as their working directory. */
const LAUNCHER = resolve("test/support/stand-in-launcher");

export interface CliOutcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class FakeHost {
  readonly env: NodeJS.ProcessEnv;
  readonly paths: HostPaths;
  readonly machines = new FakeMachines({ ready: 1 });
  /** Room on the disk that workspaces lie on. */
  freeBytes = Number.POSITIVE_INFINITY;
  readonly #root = mkdtempSync(join(tmpdir(), "pyro-test-"));
  #server: RunningServer | undefined;

  constructor() {
    this.env = {
      PATH: process.env["PATH"],
      HOME: this.#root,
      PYRO_CACHE_DIR: join(this.#root, "cache"),
      PYRO_STATE_DIR: join(this.#root, "state"),
      PYRO_RUNTIME_DIR: join(this.#root, "run"),
      PYRO_CONFIG_DIR: join(this.#root, "config"),
      PYRO_LAUNCHER_PATH: LAUNCHER,
    };
    this.paths = hostPaths(this.env);
  }

  /** The workspaces of this host, as a server that starts finds them. */
  async workspaces(onNotice: (notice: string) => void = () => undefined): Promise<Workspaces> {
    const { paths, machines } = this;
    const create = async (path: string): Promise<void> => await writeFile(path, "");
    // Nothing is read for those that begin empty.
    const seeder = async (): Promise<string> => await Promise.resolve("/nowhere/pyro-seed");
    const freeBytes = async (): Promise<number> => await Promise.resolve(this.freeBytes);
    const volumes = { create, copy: copyFile };
    const workspaces = await Workspaces.open({ paths, machines, volumes, seeder, onNotice, freeBytes });
    await workspaces.adopted();
    return workspaces;
  }

  /** A server in this process. */
  async serve(options: { idleMs?: number; environments?: Environments } = {}): Promise<RunningServer> {
    const { paths, machines } = this;
    const workspaces = await this.workspaces();
    const parts = { paths, machines, workspaces, environments: options.environments ?? fakeEnvironments() };
    this.#server = await startServer({ ...parts, idleMs: options.idleMs ?? 60_000, settings: this.#settings() });
    return this.#server;
  }

  /** An SDK that starts the fake server as a process when there is none. */
  pyro(env: NodeJS.ProcessEnv = {}): Pyro {
    return new Pyro({ env: { ...this.env, ...env }, serverEntry: FAKE_SERVER });
  }

  /** What a client of this host says of itself with every request. */
  headers(): Record<string, string> {
    return { [VERSION_HEADER]: BUILD_VERSION, [SETTINGS_HEADER]: this.#settings() };
  }

  #settings(): string {
    return settingsDigest(settingsOf(this.env, this.paths));
  }

  /** What the machines of server processes did. */
  history(): string[] {
    return readFileSync(join(this.paths.state, "fake-history"), "utf8").trim().split("\n");
  }

  /** The CLI as a process; its standard input is a pipe that stays open until `input` is given or it ends. */
  start(args: readonly string[], env: NodeJS.ProcessEnv = {}, cwd?: string): ChildProcess {
    const place = cwd === undefined ? {} : { cwd };
    return spawn(process.execPath, [CLI, ...args], {
      env: { ...this.env, ...env },
      ...place,
      stdio: ["pipe", "pipe", "pipe"],
    });
  }

  /** Runs the CLI to its end. */
  async cli(
    args: readonly string[],
    options: { input?: string; env?: NodeJS.ProcessEnv; cwd?: string } = {},
  ): Promise<CliOutcome> {
    const child = this.start(args, options.env, options.cwd);
    if (options.input !== undefined) child.stdin?.end(options.input);
    return await outcomeOf(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.stop();
    // Those that a test started as processes.
    const pyro = this.pyro();
    await pyro.server.stop({ force: true });
    pyro.close();
    rmSync(this.#root, { recursive: true, force: true });
  }
}

/** How a process that is being watched ended, with all it said. */
export async function outcomeOf(child: ChildProcess): Promise<CliOutcome> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (piece: Buffer) => (stdout += piece.toString()));
  child.stderr?.on("data", (piece: Buffer) => (stderr += piece.toString()));
  const [status] = (await once(child, "close")) as [number | null];
  return { status, stdout, stderr };
}

/** Waits until a stream has said `text`. */
export async function said(stream: NodeJS.ReadableStream | null, text: string): Promise<void> {
  let heard = "";
  await new Promise<void>((settle) => {
    const hear = (piece: Buffer): void => {
      heard += piece.toString();
      if (!heard.includes(text)) return;
      stream?.off("data", hear);
      settle();
    };
    stream?.on("data", hear);
  });
}

/** Waits until the machines of `host` have done `line`. */
export async function done(host: FakeHost, line: string): Promise<void> {
  if (host.machines.history.includes(line)) return;
  await new Promise<void>((settle) => {
    host.machines.onChange(() => {
      if (host.machines.history.includes(line)) settle();
    });
  });
}
