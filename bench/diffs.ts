/** Figures of diffs: a few changes in a large tree and in a small one, and what the whole process takes. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Pyro } from "../src/sdk/pyro.ts";
import { type Figure, measured, type Measurement, paired, timed } from "./figures.ts";

const SAMPLES = 8;
const ENVIRONMENT = "debian:12";
const FILES_IN_ONE = 100;
const CHANGES = 10;

const LARGE: Figure = {
  name: "diff of 10 changes in 100,000 files, through the SDK",
  baseline: "the same, in 1,000 files",
  mustReach: 2,
  aim: 1.2,
  largerIsBetter: false,
  unit: "ms",
};
const PROCESS: Figure = {
  name: "`pyro workspace diff` of 10 changes, whole process",
  baseline: "`pyro workspace exec -- true`",
  mustReach: 3,
  aim: 1.5,
  largerIsBetter: false,
  unit: "ms",
};

/** Compares a workspace of many files with one of few, each of which begins with its files. */
export async function measureDiffs({
  pyro,
  cliMs,
}: {
  readonly pyro: Pyro;
  /** Milliseconds of a whole `pyro` process with these words. */
  readonly cliMs: (args: readonly string[]) => number;
}): Promise<Measurement[]> {
  const [small, large] = [await changedWorkspace(pyro, 1000), await changedWorkspace(pyro, 100_000)];
  try {
    const diffMs = async (workspace: string): Promise<number> =>
      await timed(async () => {
        const { summary } = await pyro.workspace.diff({ workspace });
        if (summary.total !== CHANGES) throw new Error(`${summary.total} changes instead of ${CHANGES}`);
      });
    const trees = await paired(
      SAMPLES,
      async () => await diffMs(large),
      async () => await diffMs(small),
    );
    const processes = await paired(
      SAMPLES,
      async () => await Promise.resolve(cliMs(["workspace", "diff", small, "--quiet"])),
      async () => await Promise.resolve(cliMs(["workspace", "exec", small, "--quiet", "--", "true"])),
    );
    return [measured(LARGE, trees.ours, trees.baseline), measured(PROCESS, processes.ours, processes.baseline)];
  } finally {
    for (const workspace of [small, large]) await pyro.workspace.delete({ workspace, force: true, purge: true });
    await pyro.env.prune();
  }
}

/** A workspace that begins with so many files, of which some are then changed; its id. */
async function changedWorkspace(pyro: Pyro, files: number): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "pyro-bench-"));
  try {
    for (let index = 0; index < files; index += 1) {
      const place = join(directory, `d${Math.floor(index / FILES_IN_ONE)}`);
      if (index % FILES_IN_ONE === 0) mkdirSync(place);
      writeFileSync(join(place, `f${index % FILES_IN_ONE}`), `file ${index}\n`);
    }
    const made = await pyro.workspace.create({ environment: ENVIRONMENT, seed_path: directory });
    const workspace = made.workspace_id;
    // Spread over directories, one of each kind that there is.
    const command =
      "for i in 0 1 2 3; do echo more >> d$i/f7; done; echo x > d4/new; echo x > d5/new; rm d6/f1 d7/f1; chmod +x d8/f1 d9/f1";
    await pyro.workspace.exec({ workspace, command });
    return workspace;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
