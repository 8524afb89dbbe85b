/** Figures of workspaces: what making, using, keeping and resetting one costs, and the volume against ext4. */
import type { Pyro } from "../src/sdk/pyro.ts";
import { measureCopies } from "./copies.ts";
import { type Figure, measured, type Measurement, paired, timed } from "./figures.ts";
import { measureSeeds } from "./seeds.ts";

const SAMPLES = 8;
const WORKLOAD_SAMPLES = 3;
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

/** What is done on the volume and on ext4, each in a directory of its own. */
const WORKLOADS: readonly { name: string; prepare: string; work: string }[] = [
  {
    name: "making 5,000 files of 2 KB in 50 directories",
    prepare: "true",
    work: 'perl -e \'for $d (1..50) { mkdir "d$d"; for (1..100) { open F, ">", "d$d/$_"; print F "x" x 2048; close F } }\'; sync',
  },
  { name: "git add and commit of them", prepare: "git init -q .", work: "git add . && git commit -qm all" },
  { name: "git clone of them", prepare: "true", work: "git clone -q . ../clone" },
  { name: "git status of them", prepare: "true", work: "git -C ../clone status --short" },
  {
    name: "500 writes with fsync",
    prepare: "true",
    work: 'perl -MIO::Handle -e \'open F, ">", "log"; for (1..500) { syswrite F, "x" x 512; F->sync }\'',
  },
  { name: "rm -rf of them", prepare: "true", work: "rm -rf ../clone d*; sync" },
];

const AUTHOR = ["GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b"];

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

/** Each workload on a workspace's volume, and on ext4 on the same drive of a machine that keeps nothing. */
async function measureVolume(pyro: Pyro): Promise<Measurement[]> {
  const ours = WORKLOADS.map((): number[] => []);
  const theirs = WORKLOADS.map((): number[] => []);
  for (let round = 0; round < WORKLOAD_SAMPLES; round += 1) {
    {
      await using machine = await pyro.machine({ environment: ENVIRONMENT });
      const run = async (command: string): Promise<number> =>
        (await machine.exec(command, { env: AUTHOR, timeout_seconds: 600 })).duration_ms;
      await run("mkfs.ext4 -q -E nodiscard /dev/vdc && mount -o noatime /dev/vdc /workspace");
      await workloads(run, theirs);
    }
    await make(pyro);
    await workloads(async (command) => {
      return (await pyro.workspace.exec({ workspace: "bench", command, env: AUTHOR, timeout_seconds: 600 }))
        .duration_ms;
    }, ours);
    await remove(pyro, "bench");
  }
  return WORKLOADS.map(({ name }, index) => {
    const figure = {
      name,
      baseline: "the same on ext4",
      mustReach: 2,
      aim: 1.2,
      largerIsBetter: false,
      unit: "ms" as const,
    };
    return measured(figure, ours[index] ?? [], theirs[index] ?? []);
  });
}

async function workloads(run: (command: string) => Promise<number>, into: readonly number[][]): Promise<void> {
  await run("mkdir -p /workspace/tree; git --version; perl -e 1");
  for (const [index, { prepare, work }] of WORKLOADS.entries()) {
    await run(`cd /workspace/tree && ${prepare}`);
    into[index]?.push(await run(`cd /workspace/tree && { ${work}; }`));
  }
}

const make = async (pyro: Pyro): Promise<unknown> =>
  await pyro.workspace.create({ environment: ENVIRONMENT, name: "bench" });

async function remove(pyro: Pyro, workspace: string): Promise<void> {
  await pyro.workspace.delete({ workspace, force: true, purge: true });
}
