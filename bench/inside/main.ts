/** Measures Firecracker's figures where KVM works: runs in the nested machine, and prints its measurements as JSON. */
import { hostPaths } from "../../src/host/paths.ts";
import { ensureEmptySeed } from "../../src/machine/machine-directory.ts";
import { ensureTemplate, type StartedMachine } from "../../src/machine/start.ts";
import { machineKind } from "../bare-machine.ts";
import { type Figure, measured, type Measurement, median, timed } from "../figures.ts";
import { CLI, machineIsReady, programMs, shippedClient } from "../shipped.ts";
import { cpuMs, pssMb } from "./processes.ts";
import { coldStartMs, type Division, dividedStart, type Ground, startWarm } from "./starts.ts";
import { cpus } from "node:os";

const ENVIRONMENT = "debian:12";
const MACHINE = "firecracker";
const MEMORY_MIB = 256;
const COLD_SAMPLES = 5;
/** After each cold boot, so that load on the machine meets both alike. */
const STARTS_PER_COLD = 3;
const RUNS = 8;
const IDLE_MS = 20_000;
const IDLE_MACHINES = 10;
const AT_ONCE = 20;
const AT_ONCE_SAMPLES = 3;
const MIB_PER_MB = 1024 ** 2 / 1e6;

const lower = { unit: "ms", largerIsBetter: false } as const;
const COLD_BOOT = "Firecracker's cold boot of the same kernel to the same point";
const START: Figure = {
  ...lower,
  name: "restore to first exec answered",
  baseline: COLD_BOOT,
  mustReach: 0.15,
  aim: 0.05,
};
const RUN: Figure = {
  ...lower,
  name: "`pyro run debian:12 -- true`, whole process, server up",
  baseline: COLD_BOOT,
  mustReach: 0.3,
  aim: 0.15,
};
const IDLE_CPU: Figure = {
  ...lower,
  name: `CPU of an idle ${MEMORY_MIB} MiB machine`,
  baseline: "one core",
  mustReach: 0.03,
  aim: 0.02,
};
const IDLE_MEMORY: Figure = {
  ...lower,
  unit: "MB",
  name: `PSS of an idle ${MEMORY_MIB} MiB machine`,
  baseline: null,
  mustReach: 60,
  aim: 30,
};
const PYROS_PART: Figure = {
  ...lower,
  name: "pyro's part of a start",
  baseline: "the whole start",
  mustReach: 0.3,
  aim: 0.1,
};
const TENTH: Figure = {
  ...lower,
  unit: "MB",
  name: "PSS of the 10th idle machine",
  baseline: "its guest's memory",
  mustReach: 0.06,
  aim: 0.02,
};
const TOGETHER: Figure = {
  ...lower,
  name: `${AT_ONCE} starts at once`,
  baseline: `one start × ${AT_ONCE} / cores`,
  mustReach: 1.3,
  aim: 1,
};

const say = (what: string): void => void process.stderr.write(`[bench] ${what}\n`);

async function sampleStarts(ground: Ground): Promise<{ coldMs: readonly number[]; starts: readonly Division[] }> {
  const coldMs: number[] = [];
  const starts: Division[] = [];
  for (let index = 0; index < COLD_SAMPLES; index += 1) {
    coldMs.push(await coldStartMs(ground));
    for (let start = 0; start < STARTS_PER_COLD; start += 1) starts.push(await dividedStart(ground));
  }
  return { coldMs, starts };
}

async function measureRuns(coldMs: readonly number[]): Promise<Measurement> {
  const pyro = await shippedClient();
  const run = [CLI, "run", "--machine", MACHINE, "--mem-mib", String(MEMORY_MIB), ENVIRONMENT, "--", "true"];
  programMs(run);
  const runMs: number[] = [];
  for (let index = 0; index < RUNS; index += 1) {
    await machineIsReady(pyro);
    runMs.push(programMs(run));
  }
  await pyro.server.stop({ force: true });
  return measured(RUN, runMs, coldMs);
}

/** One machine first, which is alone, then up to the tenth. */
async function measureIdle(ground: Ground): Promise<Measurement[]> {
  const machines: StartedMachine[] = [];
  try {
    machines.push(await startWarm(ground));
    const first = machines[0];
    if (first === undefined) throw new Error("no machine");
    const { pid } = first.vmm.process;
    const [begin, usedMs] = [performance.now(), cpuMs(pid)];
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    const idleCpu = measured(IDLE_CPU, [cpuMs(pid) - usedMs], [performance.now() - begin]);
    const idleMemory = measured(IDLE_MEMORY, [pssMb(pid)], []);
    while (machines.length < IDLE_MACHINES) machines.push(await startWarm(ground));
    const all = machines.map(({ vmm }) => pssMb(vmm.process.pid));
    return [idleCpu, idleMemory, measured(TENTH, all.slice(-1), [MEMORY_MIB * MIB_PER_MB])];
  } finally {
    await Promise.all(machines.map(async ({ scope }) => await scope.close()));
  }
}

async function measureTogether(ground: Ground, startMs: readonly number[]): Promise<Measurement> {
  const together: number[] = [];
  for (let index = 0; index < AT_ONCE_SAMPLES; index += 1) {
    let machines: StartedMachine[] = [];
    together.push(
      await timed(async () => {
        machines = await Promise.all(Array.from({ length: AT_ONCE }, async () => await startWarm(ground)));
      }),
    );
    await Promise.all(machines.map(async ({ scope }) => await scope.close()));
  }
  return measured(TOGETHER, together, [(median(startMs) * AT_ONCE) / cpus().length]);
}

async function main(): Promise<void> {
  const paths = hostPaths();
  const found = await machineKind(paths, ENVIRONMENT, MACHINE);
  const kind = { ...found, shape: { ...found.shape, memoryMib: MEMORY_MIB } };
  await ensureEmptySeed(paths);
  const context = { paths, signal: new AbortController().signal, onNotice: say };
  const template = await ensureTemplate(kind, context, () => say("template"));
  const ground = { paths, kind, template };
  say("starts");
  const { coldMs, starts } = await sampleStarts(ground);
  const startMs = starts.map(({ wholeMs }) => wholeMs);
  const pyroMs = starts.map((each) => each.pyroMs);
  say("runs");
  const run = await measureRuns(coldMs);
  say("idle");
  const idle = await measureIdle(ground);
  say("starts at once");
  const together = await measureTogether(ground, startMs);
  const measurements = [
    measured(START, startMs, coldMs),
    run,
    ...idle,
    measured(PYROS_PART, pyroMs, startMs),
    together,
  ];
  process.stdout.write(JSON.stringify({ vmm: kind.driver.templateIdentity, measurements }));
}

await main();
