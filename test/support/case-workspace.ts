/** A workspace of one case of the table, made for it and gone after it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Scope } from "../../src/host/scope.ts";
import type { Pyro } from "../../src/sdk/pyro.ts";
import { type ClientCaseContext, machinePid } from "./client-cases.ts";
import { paths, until } from "./guest-host.ts";
import { sh } from "./workspace-by-name.ts";

const ENVIRONMENT = "debian:12";
/** What a finished command wrote is on the host's disk within a second; the rest is for a busy host. */
const WRITTEN_DEADLINE_MS = 10_000;

/** Until it is known that a machine has ended. */
const DEADLINE_MS = 10_000;

export interface WorkspaceCase {
  readonly name: string;
  /** Fills the directory of the host that the workspace begins with; absent: it begins empty. */
  readonly seed?: (directory: string) => void;
  readonly run: (workspace: CaseWorkspace) => Promise<void>;
}

/** A workspace of one case, by its id. */
export class CaseWorkspace {
  readonly pyro: Pyro;
  readonly id: string;
  /** What it began with, on the host. */
  readonly source: string;

  constructor(pyro: Pyro, id: string, source: string) {
    this.pyro = pyro;
    this.id = id;
    this.source = source;
  }

  /** Runs a script that must succeed; its output. */
  async sh(command: string, options: { user?: string } = {}): Promise<string> {
    return await sh(this.pyro, this.id, command, options);
  }

  /** Its machine ends on the spot, as by a crash; settles when that is known. */
  async killMachine(): Promise<void> {
    const isStarted = async (): Promise<boolean> =>
      (await this.pyro.workspace.status({ workspace: this.id })).state === "started";
    const record = await readFile(join(paths.state, "workspaces", this.id, "workspace.json"), "utf8");
    const { machine_id: machine } = JSON.parse(record) as { machine_id: string };
    process.kill((await machinePid(machine)) ?? assert.fail("the machine has no VMM"), "SIGKILL");
    await until(async () => !(await isStarted()), DEADLINE_MS, "the workspace has stopped");
  }

  /** Waits until a first change has come to the host's disk. */
  async written(): Promise<void> {
    const isChanged = async (): Promise<boolean> => (await this.pyro.workspace.status({ workspace: this.id })).changed;
    await until(isChanged, WRITTEN_DEADLINE_MS, "the volume is written");
  }
}

/** Runs a case in a workspace that is gone afterwards. */
export async function inWorkspace({ pyro, memory }: ClientCaseContext, { seed, run }: WorkspaceCase): Promise<void> {
  await using scope = new Scope();
  const directory = mkdtempSync(join(tmpdir(), "pyro-seed-"));
  scope.defer(() => rmSync(directory, { recursive: true }));
  seed?.(directory);
  const begin = seed === undefined ? {} : { seed_path: directory };
  const { workspace_id: id } = await pyro.workspace.create({ environment: ENVIRONMENT, ...begin, ...memory });
  scope.defer(async () => {
    await pyro.workspace.delete({ workspace: id, force: true, purge: true });
    if (seed !== undefined) await pyro.env.prune();
  });
  await run(new CaseWorkspace(pyro, id, directory));
}
