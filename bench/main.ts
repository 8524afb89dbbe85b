/**
 * `npm run bench`: prints each figure as a ratio against a baseline of the same run, and saves them as JSON.
 * `npm run bench -- workspaces`: only those of workspaces; `-- seeds`, `-- copies` (files in and out), `-- diffs`, `-- volume`: only those.
 */
import { hostPaths } from "../src/host/paths.ts";
import type { Machine } from "../src/sdk/machine.ts";
import type { MachineKind } from "../src/machine/bootable.ts";
import { bootBare, execBare, machineKind } from "./bare-machine.ts";
import { CLI, machineIsReady, programMs, shippedClient } from "./shipped.ts";
import { type Figure, measured, type Measurement, paired, timed } from "./figures.ts";
import { measureCopies } from "./copies.ts";
import { measureDiffs } from "./diffs.ts";
import { measureSeeds } from "./seeds.ts";
import { measureVolume } from "./volume.ts";
import { measureWorkspaces } from "./workspaces.ts";
import { report } from "./report.ts";
import { BUFFERED, drain, LARGE_WRITES, throughputSample } from "./throughput.ts";

const SHORT_SAMPLES = 12;
const LONG_SAMPLES = 3;
/** Pairs; a second or two each, and the bare port's time alone varies by half from one to the next. */
const THROUGHPUT_SAMPLES = 7;
const ENVIRONMENT = "debian:12";

const RUN: Figure = {
  name: "`pyro run debian:12 -- true`, whole process, server up",
  baseline: "bare cold boot to the first exec answered",
  unit: "ms",
  mustReach: 0.14,
  aim: 0.06,
  largerIsBetter: false,
};
const RUN_COLD: Figure = { ...RUN, name: "the same with the server not running", mustReach: 0.3, aim: 0.15 };
const EXEC: Figure = {
  name: "trivial exec through the SDK on a running machine",
  baseline: "the same fork and exec timed inside the guest",
  unit: "ms",
  mustReach: 2,
  aim: 1.3,
  largerIsBetter: false,
};
const VERSION: Figure = {
  name: "`pyro --version`",
  baseline: "`node -e 0`",
  unit: "ms",
  mustReach: 2,
  aim: 1.3,
  largerIsBetter: false,
};
const STDOUT: Figure = {
  name: "256 MiB from a guest command's stdout to the host",
  baseline: "the same command writing to the bare port",
  unit: "ms",
  mustReach: 0.5,
  aim: 0.8,
  largerIsBetter: true,
};

const STDOUT_LARGE: Figure = {
  ...STDOUT,
  name: "256 MiB in writes of 256 KiB",
  baseline: "the same writes to the bare port, which is the most it carries",
};

const paths = hostPaths();
const pyro = await shippedClient();

/** Bare cold boots to the first exec answered. */
async function bareBoots(kind: MachineKind): Promise<number[]> {
  const bootMs: number[] = [];
  for (let index = 0; index < LONG_SAMPLES; index += 1) {
    bootMs.push(
      await timed(async () => {
        const machine = await bootBare(paths, kind);
        await execBare(machine.link, ["/bin/true"]);
        void machine.close();
      }),
    );
  }
  return bootMs;
}

async function measureRuns(bootMs: readonly number[]): Promise<Measurement[]> {
  const run = [CLI, "run", ENVIRONMENT, "--", "true"];
  programMs(run);
  const warm: number[] = [];
  for (let index = 0; index < SHORT_SAMPLES; index += 1) {
    await machineIsReady(pyro);
    warm.push(programMs(run));
  }
  const cold: number[] = [];
  for (let index = 0; index < SHORT_SAMPLES; index += 1) {
    await pyro.server.stop({ force: true });
    cold.push(programMs(run));
  }
  return [measured(RUN, warm, bootMs), measured(RUN_COLD, cold, bootMs)];
}

async function measureExec(machine: Machine): Promise<Measurement> {
  // Perl is in every Debian: fork, exec and wait, timed by the guest's own clock.
  const inside = "use Time::HiRes 'time'; my $t = time; system('/bin/true'); printf '%.3f', 1000 * (time - $t)";
  await machine.exec(["/bin/true"]);
  const samples = await paired(
    SHORT_SAMPLES,
    async () => await timed(async () => await machine.exec(["/bin/true"])),
    async () => Number((await machine.exec(["perl", "-e", inside])).stdout),
  );
  return measured(EXEC, samples.ours, samples.baseline);
}

async function measureVersion(): Promise<Measurement> {
  const samples = await paired(
    SHORT_SAMPLES,
    async () => await Promise.resolve(programMs([CLI, "--version"])),
    async () => await Promise.resolve(programMs(["-e", "0"])),
  );
  return measured(VERSION, samples.ours, samples.baseline);
}

async function measureThroughput(machine: Machine, kind: MachineKind): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const [figure, producer] of [
    [STDOUT, BUFFERED],
    [STDOUT_LARGE, LARGE_WRITES],
  ] as const) {
    const bare = await bootBare(paths, kind);
    try {
      const samples = await paired(
        THROUGHPUT_SAMPLES,
        async () => await throughputSample(machine, producer),
        async () => await drain(bare, producer),
      );
      measurements.push(measured(figure, samples.ours, samples.baseline));
    } finally {
      await bare.close();
    }
  }
  return measurements;
}

async function main(): Promise<void> {
  await pyro.env.pull({ environment: ENVIRONMENT });
  const cliMs = (words: readonly string[]): number => programMs([CLI, ...words]);
  const kind = await machineKind(paths, ENVIRONMENT);
  if (process.argv.includes("seeds")) {
    programMs([CLI, "run", ENVIRONMENT, "--", "true"]);
    return await end(await measureSeeds({ pyro, cliMs }), kind);
  }
  if (process.argv.includes("volume")) return await end(await measureVolume(pyro), kind);
  if (process.argv.includes("copies")) {
    const { workspace_id: id } = await pyro.workspace.create({ environment: ENVIRONMENT });
    const measurements = await measureCopies(pyro, id);
    await pyro.workspace.delete({ workspace: id, force: true, purge: true });
    return await end(measurements, kind);
  }
  if (process.argv.includes("diffs")) {
    return await end(await measureDiffs({ pyro, cliMs }), kind);
  }
  const bootMs = await bareBoots(kind);
  const measurements = [];
  if (!process.argv.includes("workspaces")) {
    measurements.push(await measureVersion(), ...(await measureRuns(bootMs)));
    await using machine = await pyro.machine({ environment: ENVIRONMENT });
    measurements.push(await measureExec(machine), ...(await measureThroughput(machine, kind)));
  }
  const nodeMs = (): number => programMs(["-e", "0"]);
  measurements.push(...(await measureWorkspaces({ pyro, bootMs, cliMs, nodeMs })));
  measurements.push(...(await measureDiffs({ pyro, cliMs })));
  await end(measurements, kind);
}

async function end(measurements: readonly Measurement[], kind: MachineKind): Promise<void> {
  await pyro.server.stop({ force: true });
  report(measurements, kind.driver.templateIdentity);
}

await main();
