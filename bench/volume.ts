/** Figures of the volume: what is done on it against the same on ext4, on the same drive of a machine that keeps nothing. */
import type { Pyro } from "../src/sdk/pyro.ts";
import { measured, type Measurement } from "./figures.ts";

const SAMPLES = 3;
/** It has Node's npm, and Python's SQLite. */
const ENVIRONMENT = "debian:12-agent";
const MACHINE = { environment: ENVIRONMENT, vcpu_count: 1, mem_mib: 1024 };
const LIMIT_SECONDS = 1800;

/** Done one after the other, each in the directory that those before have left. */
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
  {
    name: "SQLite, 200 transactions, each with fsync",
    prepare: "rm -f log",
    work: `python3 -c '
import sqlite3
db = sqlite3.connect("db")
db.execute("pragma synchronous = full")
db.execute("create table numbers (number)")
for number in range(200):
    db.execute("insert into numbers values (?)", (number,))
    db.commit()'`,
  },
  {
    name: "npm ci --offline of a package of 2,000 files",
    prepare: `mkdir -p ../npm/package ../npm/app && cd ../npm/package &&
      perl -e 'for $d (1..20) { mkdir "d$d"; for (1..100) { open F, ">", "d$d/$_.js"; print F "x" x 2048; close F } }' &&
      echo '{"name":"lib","version":"1.0.0"}' > package.json && tar -czf ../lib.tgz -C .. package && cd ../app &&
      echo '{"name":"app","version":"1.0.0","dependencies":{"lib":"file:../lib.tgz"}}' > package.json &&
      npm install --offline --silent --no-audit --package-lock-only`,
    work: "cd ../npm/app && npm ci --offline --silent --no-audit && sync",
  },
  { name: "rm -rf of all that", prepare: "true", work: "rm -rf ../clone ../npm d*; sync" },
];

const AUTHOR = ["GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b"];
const OPTIONS = { env: AUTHOR, timeout_seconds: LIMIT_SECONDS };

export async function measureVolume(pyro: Pyro): Promise<Measurement[]> {
  await pyro.env.pull({ environment: ENVIRONMENT });
  const ours = WORKLOADS.map((): number[] => []);
  const theirs = WORKLOADS.map((): number[] => []);
  for (let round = 0; round < SAMPLES; round += 1) {
    await onExt4(pyro, theirs);
    await onVolume(pyro, ours);
  }
  return WORKLOADS.map(({ name }, index) => {
    const figure = { name, baseline: "the same on ext4", mustReach: 2, aim: 1.2, largerIsBetter: false };
    return measured({ ...figure, unit: "ms" }, ours[index] ?? [], theirs[index] ?? []);
  });
}

async function onExt4(pyro: Pyro, into: readonly number[][]): Promise<void> {
  await using machine = await pyro.machine(MACHINE);
  const run = async (command: string): Promise<number> => succeeded(command, await machine.exec(command, OPTIONS));
  await run("mkfs.ext4 -q -E nodiscard /dev/vdc && mount -o noatime /dev/vdc /workspace");
  await workloads(run, into);
}

async function onVolume(pyro: Pyro, into: readonly number[][]): Promise<void> {
  const { workspace_id: workspace } = await pyro.workspace.create(MACHINE);
  const run = async (command: string): Promise<number> =>
    succeeded(command, await pyro.workspace.exec({ workspace, command, ...OPTIONS }));
  try {
    await workloads(run, into);
  } finally {
    await pyro.workspace.delete({ workspace, force: true, purge: true });
  }
}

/** Milliseconds of a command. @throws Error when it failed: that would be quick */
function succeeded(
  command: string,
  { exit_code: code, stderr, duration_ms: ms }: { exit_code: number; stderr: string; duration_ms: number },
): number {
  if (code !== 0) throw new Error(`exit code ${code} of ${command}: ${stderr}`);
  return ms;
}

async function workloads(run: (command: string) => Promise<number>, into: readonly number[][]): Promise<void> {
  await run("mkdir -p /workspace/tree; git --version; perl -e 1; python3 -c 'import sqlite3'; npm --version");
  for (const [index, { prepare, work }] of WORKLOADS.entries()) {
    await run(`cd /workspace/tree && ${prepare}`);
    into[index]?.push(await run(`cd /workspace/tree && { ${work}; }`));
  }
}
