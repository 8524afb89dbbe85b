/** VMMs, their monitors, servers and clients killed at random moments of a run: each call ends, and nothing is left. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { ERROR_CODES } from "../../src/contract/error.ts";
import type { RunResult } from "../../src/contract/run.ts";
import { identifyProcess, signalProcess } from "../../src/host/process-identity.ts";
import { machineRuntimeDirectory, templatesDirectory } from "../../src/host/paths.ts";
import type { Pyro } from "../../src/sdk/pyro.ts";
import { type CliEnd, CliProcess } from "./cli-process.ts";
import { machineDirectories, paths, until, vmmPids } from "./guest-host.ts";
import { vmmBelow } from "./vmm-properties.ts";

export const VICTIMS = ["VMM", "monitor", "server", "client"] as const;
export type Victim = (typeof VICTIMS)[number];

const ENVIRONMENT = "debian:12";
const SCRIPT = "echo begun; sleep 0.3; echo done";
/** Runs in which nobody was there to be killed, as a share of the kills. */
const MISSES_MAX = 3;
const CLEAN_WITHIN_MS = 20_000;
/** What a killed VMM or server may end a call with. */
export const EXPECTED: ReadonlySet<string> = new Set([
  "vmm_failed",
  "guest_unreachable",
  "guest_failed",
  "server_unavailable",
  "cancelled",
]);

export interface RandomKills {
  readonly pyro: Pyro;
  readonly count: number;
  readonly seed: number;
  readonly memoryMib: number;
  readonly onKill: (line: string) => void;
}

export const KILLS_TEST =
  "VMM, monitor, server and client are killed at random moments, and everything is clean afterwards";

/** Variables by which `npm run soak` asks for more kills, or for those of another seed. */
const COUNT = "PYRO_SOAK_KILLS";
const SEED = "PYRO_SOAK_SEED";

/** Whether this is `npm run soak`. */
export const soaking = process.env[COUNT] !== undefined;

/** How many a test of the suite kills: so many, unless there is a soak. */
export function killsOfSuite(usual: number): { count: number; seed: number } {
  return { count: Number(process.env[COUNT] ?? usual), seed: Number(process.env[SEED] ?? 1) };
}

/** What of the variables is set, for a test that runs elsewhere. */
export function killSettings(): Record<string, string> {
  const set = [COUNT, SEED].flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  return Object.fromEntries(set) as Record<string, string>;
}

/** Kills so many, one in each run, and then looks for what is left. @throws when a call does not end as it should */
export async function killAtRandom({ pyro, count, seed, memoryMib, onKill }: RandomKills): Promise<void> {
  const random = generator(seed);
  const words = ["run", ENVIRONMENT, "--json", "--mem-mib", String(memoryMib), "--", "sh", "-c", SCRIPT];
  // With its template made.
  await ends(new CliProcess(words), undefined);
  const begin = performance.now();
  await ends(new CliProcess(words), undefined);
  const runMs = performance.now() - begin;
  let killed = 0;
  for (let attempt = 0; killed < count; attempt += 1) {
    assert.ok(attempt < count * (MISSES_MAX + 1), `after ${attempt} runs only ${killed} were killed`);
    const victim = VICTIMS[Math.floor(random() * VICTIMS.length)] ?? "VMM";
    const afterMs = Math.floor(random() * runMs);
    using client = new CliProcess(words);
    const shot = killLater(victim, afterMs, { pyro, client, random });
    const how = await ends(client, victim);
    const hit = await shot();
    if (hit) killed += 1;
    onKill(`${hit ? "killed" : "no"} ${victim} after ${afterMs} ms: ${how}`);
  }
  assert.equal(
    (await pyro.run({ environment: ENVIRONMENT, command: "echo works", mem_mib: memoryMib })).stdout,
    "works\n",
  );
  await nothingIsLeft(pyro);
}

export interface Scene {
  readonly pyro: Pyro;
  readonly client: CliProcess;
  readonly random: () => number;
}

/** Kills the victim after so long; what is returned says whether there was one, and must be called when the run has ended. */
export function killLater(victim: Victim, afterMs: number, scene: Scene): () => Promise<boolean> {
  let shooting: Promise<boolean> | undefined;
  const shoot = async (): Promise<boolean> => {
    const pid = await pidOf(victim, scene);
    const identity = pid === undefined ? undefined : identifyProcess(pid);
    return identity !== undefined && signalProcess(identity, "SIGKILL");
  };
  const timer = setTimeout(() => void (shooting = shoot()), afterMs);
  return async () => {
    clearTimeout(timer);
    return (await shooting) ?? false;
  };
}

/** How a call ended, in a few words. */
async function ends(client: CliProcess, victim: Victim | undefined): Promise<string> {
  const end = await client.end();
  if (victim === "client" && end.signal === "SIGKILL") return "killed";
  if (end.code === 0) {
    assert.equal((JSON.parse(end.stdout.toString()) as RunResult).stdout, "begun\ndone\n");
    return "done";
  }
  assert.ok(victim !== undefined, said(end));
  assert.equal(end.code, ERROR_CODES.vmm_failed.exitCode, said(end));
  const { error } = JSON.parse(end.stdout.toString()) as { error: { code: string } };
  assert.ok(EXPECTED.has(error.code), said(end));
  return error.code;
}

const said = ({ code, stdout, stderr }: CliEnd): string => `exit ${code}: ${stdout.toString()}${stderr}`;

/** The process that is to go, or undefined when there is none now. */
async function pidOf(victim: Victim, { pyro, client, random }: Scene): Promise<number | undefined> {
  if (victim === "client") return client.child.exitCode === null ? client.child.pid : undefined;
  if (victim === "server") return (await pyro.server.status()).pid ?? undefined;
  const monitors = monitorPids();
  const monitor = monitors[Math.floor(random() * monitors.length)];
  if (monitor === undefined || victim === "monitor") return monitor;
  try {
    return vmmBelow(monitor);
  } catch {
    // It is just starting, or just ending.
    return undefined;
  }
}

/** Monitors of this suite's machines: their output is the machine's log. */
function monitorPids(): number[] {
  const parent = machineRuntimeDirectory(paths, "");
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "pyro-launch" &&
          readlinkSync(`/proc/${pid}/fd/1`).startsWith(parent)
        );
      } catch {
        // It ended while it was looked at.
        return false;
      }
    })
    .map(Number);
}

/** After its last call a server has at most the machines that it keeps ready, and when it has ended nothing at all. */
export async function nothingIsLeft(pyro: Pyro): Promise<void> {
  await until(async () => (await pyro.server.status()).machines === 0, CLEAN_WITHIN_MS, "no machine is held");
  await pyro.server.stop({ force: true });
  await until(() => machineDirectories().length === 0, CLEAN_WITHIN_MS, "no machine's directory is left");
  await until(() => monitorPids().length === 0 && vmmPids().length === 0, CLEAN_WITHIN_MS, "no VMM or monitor is left");
  const parts = readdirSync(templatesDirectory(paths)).filter((name) => name.startsWith("."));
  assert.deepEqual(parts, []);
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
