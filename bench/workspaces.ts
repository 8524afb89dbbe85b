/** Figures of workspaces: what making, using, keeping and resetting one costs. */
import type { Pyro } from "../src/sdk/pyro.ts";
import { measureCopies } from "./copies.ts";
import { type Figure, measured, type Measurement, paired, timed } from "./figures.ts";
import { measureSeeds } from "./seeds.ts";
import { measureVolume } from "./volume.ts";

const SAMPLES = 8;
const ENVIRONMENT = "debian:12";

const CREATE: Figure = {
  name: "`pyro workspace create`, whole process",
  baseline: "bare cold boot to the first exec answered",
  mustReach: 0.25,
  aim: 0.1,
  largerIsBetter: false,
  unit: "ms",
};
const EXEC: Figure = {
  name: "`pyro workspace exec -- true`, whole process",
  baseline: "`node -e 0`, and the fork and exec timed inside the guest",
  mustReach: 2,
  aim: 1.3,
  largerIsBetter: false,
  unit: "ms",
};
const SNAPSHOT: Figure = {
  name: "snapshot create, tree of 1 GB in 1,000 files",
  baseline: "the same, tree of 1 MB in one file",
  mustReach: 1.3,
  aim: 1.1,
  largerIsBetter: false,
  unit: "ms",
};
const RESET: Figure = {
  name: "reset to a snapshot of 1 GB, through the SDK",
  baseline: "workspace create, through the SDK",
  mustReach: 1.5,
  aim: 1.1,
  largerIsBetter: false,
  unit: "ms",
};

interface Bench {
  readonly pyro: Pyro;
  /** Milliseconds of a whole `pyro` process with these words. */
  readonly cliMs: (args: readonly string[]) => number;
  /** Milliseconds of `node -e 0`. */
  readonly nodeMs: () => number;
  /** Milliseconds of bare cold boots. */
  readonly bootMs: readonly number[];
}

export async function measureWorkspaces(bench: Bench): Promise<Measurement[]> {
  const created: number[] = [];
  const createdInside: number[] = [];
  for (let index = 0; index < SAMPLES; index += 1) {
    created.push(bench.cliMs(["workspace", "create", ENVIRONMENT, "--name", "bench"]));
    await remove(bench.pyro, "bench");
    createdInside.push(await timed(async () => await make(bench.pyro)));
    await remove(bench.pyro, "bench");
  }
  await make(bench.pyro);
  const exec = await measureExec(bench);
  const kept = await measureKept(bench, createdInside);
  const copies = await measureCopies(bench.pyro, "bench");
  await remove(bench.pyro, "bench");
  const seeds = await measureSeeds(bench);
  return [
    measured(CREATE, created, bench.bootMs),
    exec,
    ...kept,
    ...copies,
    ...seeds,
    ...(await measureVolume(bench.pyro)),
  ];
}

async function measureExec({ pyro, cliMs, nodeMs }: Bench): Promise<Measurement> {
  const inside = "use Time::HiRes 'time'; my $t = time; system('/bin/true'); printf '%.3f', 1000 * (time - $t)";
  const words = ["workspace", "exec", "bench", "--quiet", "--", "true"];
  cliMs(words);
  const samples = await paired(
    SAMPLES,
    async () => await Promise.resolve(cliMs(words)),
    async () => {
      const { stdout } = await pyro.workspace.exec({ workspace: "bench", command: ["perl", "-e", inside] });
      return nodeMs() + Number(stdout);
    },
  );
  return measured(EXEC, samples.ours, samples.baseline);
}

/** Snapshots of a small and of a large tree, and resets to the large one. */
async function measureKept({ pyro }: Bench, createMs: readonly number[]): Promise<Measurement[]> {
  let count = 0;
  const snapshotMs = async (): Promise<number> =>
    await timed(async () => {
      count += 1;
      await pyro.workspace.snapshot.create({ workspace: "bench", snapshot: `s${count}` });
    });
  const sh = async (command: string): Promise<void> => {
    await pyro.workspace.exec({ workspace: "bench", command, timeout_seconds: 600 });
  };
  await sh("head -c 1000000 /dev/urandom > file; sync");
  await snapshotMs();
  const small: number[] = [];
  const large: number[] = [];
  for (let index = 0; index < SAMPLES; index += 1) small.push(await snapshotMs());
  await sh("mkdir big; for i in $(seq 1000); do head -c 1000000 /dev/zero | tr '\\0' x > big/$i; done; sync");
  for (let index = 0; index < SAMPLES; index += 1) large.push(await snapshotMs());
  const resetMs: number[] = [];
  for (let index = 0; index < SAMPLES / 2; index += 1) {
    resetMs.push(await timed(async () => await pyro.workspace.reset({ workspace: "bench", snapshot: `s${count}` })));
  }
  return [measured(SNAPSHOT, large, small), measured(RESET, resetMs, createMs)];
}

const make = async (pyro: Pyro): Promise<unknown> =>
  await pyro.workspace.create({ environment: ENVIRONMENT, name: "bench" });

async function remove(pyro: Pyro, workspace: string): Promise<void> {
  await pyro.workspace.delete({ workspace, force: true, purge: true });
}
