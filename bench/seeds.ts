/** Figures of seeds: what making one costs, creating from it again, and the room of many workspaces of one. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Pyro } from "../src/sdk/pyro.ts";
import { type Figure, measured, type Measurement, timed } from "./figures.ts";

const ENVIRONMENT = "debian:12";
/** A new one takes half a minute, one that is known a second. */
const NEW_SAMPLES = 3;
const SAMPLES = 8;
const SEED_FILES = 20_000;
const SEED_FILES_IN_ONE = 100;
const SEED_FILE_BYTES = 10_000;
const WORKSPACES = 10;
const MB = 1_000_000;

const NEW_SEED: Figure = {
  name: "create with a new seed of 20,000 files, 200 MB, whole process",
  baseline: "`cp -a` of the tree, and `pyro workspace create`",
  mustReach: 10,
  aim: 2,
  largerIsBetter: false,
  unit: "ms",
};
const KNOWN_SEED: Figure = {
  name: "create from a seed used before and unchanged, whole process",
  baseline: "`pyro workspace create`",
  mustReach: 2,
  aim: 1.2,
  largerIsBetter: false,
  unit: "ms",
};
const TENTH: Figure = {
  name: "host disk of the 10th workspace from one seed, all ten running",
  baseline: "the files of the seed",
  mustReach: 0.2,
  aim: 0.05,
  largerIsBetter: false,
  unit: "MB",
};

interface SeedBench {
  readonly pyro: Pyro;
  /** Milliseconds of a whole `pyro` process with these words. */
  readonly cliMs: (args: readonly string[]) => number;
}

/** Making a seed, and creating from it again; a tree with other times is a new one. */
export async function measureSeeds({ pyro, cliMs }: SeedBench): Promise<Measurement[]> {
  const directory = mkdtempSync(join(tmpdir(), "pyro-bench-"));
  try {
    const tree = join(directory, "tree");
    for (let index = 0; index < SEED_FILES; index += 1) {
      if (index % SEED_FILES_IN_ONE === 0) mkdirSync(join(tree, `d${index}`), { recursive: true });
      writeFileSync(join(tree, `d${index - (index % SEED_FILES_IN_ONE)}`, `f${index}`), randomBytes(SEED_FILE_BYTES));
    }
    const fresh: number[] = [];
    const copied: number[] = [];
    const known: number[] = [];
    const empty: number[] = [];
    const create = async (...words: string[]): Promise<number> => {
      const ms = cliMs(["workspace", "create", ENVIRONMENT, "--name", "bench", ...words]);
      await remove(pyro, "bench");
      return ms;
    };
    for (let round = 0; round < NEW_SAMPLES; round += 1) {
      utimesSync(tree, round, round);
      utimesSync(join(tree, "d0", "f0"), round, round);
      const copyMs = await timed(async () => {
        execFileSync("cp", ["-a", tree, join(directory, "copy")]);
        await Promise.resolve();
      });
      rmSync(join(directory, "copy"), { recursive: true });
      fresh.push(await create("--seed-path", tree));
      copied.push(copyMs + (await create()));
    }
    for (let round = 0; round < SAMPLES; round += 1) {
      known.push(await create("--seed-path", tree));
      empty.push(await create());
    }
    const tenth = await diskOfTenth(pyro, tree);
    return [measured(NEW_SEED, fresh, copied), measured(KNOWN_SEED, known, empty), tenth];
  } finally {
    rmSync(directory, { recursive: true });
    await pyro.env.prune();
  }
}

/** What a command has read all of, and the last of ten takes then. */
async function diskOfTenth(pyro: Pyro, tree: string): Promise<Measurement> {
  const made: string[] = [];
  try {
    for (let count = 0; count < WORKSPACES; count += 1)
      made.push((await pyro.workspace.create({ environment: ENVIRONMENT, seed_path: tree })).workspace_id);
    const workspace = made.at(-1) ?? "";
    await pyro.workspace.exec({
      workspace,
      command: "find . -type f -exec cat {} + | wc -c; sync",
      timeout_seconds: 600,
    });
    const { disk_bytes: bytes, workspace_seed: seed } = await pyro.workspace.status({ workspace });
    return measured(TENTH, [bytes / MB], [seed.bytes_written / MB]);
  } finally {
    for (const id of made) await remove(pyro, id);
  }
}

async function remove(pyro: Pyro, workspace: string): Promise<void> {
  await pyro.workspace.delete({ workspace, force: true, purge: true });
}
