/** Starts of machines in the nested machine: cold, as the baseline, and from the template, as pyro makes them. */
import { performance } from "node:perf_hooks";
import { watch } from "node:fs";
import { openGuestLink } from "../../src/guest/link.ts";
import type { HostPaths } from "../../src/host/paths.ts";
import { emptySeedPath, type MachineKind, machinePlan } from "../../src/machine/bootable.ts";
import { startExec } from "../../src/machine/exec.ts";
import { configureGuest } from "../../src/machine/guest-setup.ts";
import type { Exec, ExecRequest } from "../../src/machine/machine.ts";
import {
  createMachineDirectory,
  createPlaceholderVolume,
  newMachineId,
  removeMachineDirectory,
} from "../../src/machine/machine-directory.ts";
import { type StartedMachine, startFromTemplate } from "../../src/machine/start.ts";
import type { Template } from "../../src/machine/template.ts";
import type { VmmDriver } from "../../src/vmm/driver.ts";
import { API_SOCKET } from "../../src/vmm/firecracker/config.ts";

const DEADLINE_MS = 120_000;

/** What every start here is of. */
export interface Ground {
  readonly paths: HostPaths;
  readonly kind: MachineKind;
  readonly template: Template;
}

/** The smallest command there is, to its end. */
async function firstCommand(exec: (request: ExecRequest) => Exec): Promise<void> {
  const { exitCode } = await exec({
    argv: ["/bin/true"],
    env: {},
    cwd: "/",
    user: "root",
    timeLimitMs: DEADLINE_MS,
    stdin: undefined,
    onOutput: () => undefined,
  }).outcome;
  if (exitCode !== 0) throw new Error(`/bin/true ended with ${exitCode}`);
}

/** Boots a machine of the same kernel, agent and jail, and ends it: milliseconds to its first command's end. */
export async function coldStartMs({ paths, kind }: Ground): Promise<number> {
  const begin = performance.now();
  const id = newMachineId();
  const { directory, vmmDirectory } = createMachineDirectory(paths, id);
  const volumePath = createPlaceholderVolume(directory);
  const plan = await machinePlan(kind, vmmDirectory, { seedPath: emptySeedPath(paths.cache), volumePath });
  const vmm = await kind.driver.boot(plan, {});
  try {
    const link = await openGuestLink(await vmm.connect("control", DEADLINE_MS), DEADLINE_MS);
    await configureGuest(link, id);
    await firstCommand((request) => startExec(link, request));
    const elapsed = performance.now() - begin;
    link.close();
    return elapsed;
  } finally {
    await vmm.kill();
    removeMachineDirectory(paths, id);
  }
}

/** Starts a machine as a server does, to its first command's end. Whoever holds it ends it through its scope. */
export async function startWarm({ paths, kind, template }: Ground): Promise<StartedMachine> {
  const context = { paths, signal: new AbortController().signal, onNotice: () => undefined };
  const machine = await startFromTemplate(kind, template, context);
  await firstCommand(machine.exec);
  return machine;
}

/** Milliseconds of one start, and of those the ones that are neither the VMM's nor the guest's. */
export interface Division {
  readonly wholeMs: number;
  readonly pyroMs: number;
}

/**
 * Starts a machine, ends it, and divides its time. pyro's is all until the VMM opens its API, its launcher's work with it, and from
 * then on the processor time of this process: what passes otherwise is the VMM's and the guest's. (That this process has
 * something to do is no measure where there is one processor, which the guest may have meanwhile.)
 */
export async function dividedStart(ground: Ground): Promise<Division> {
  let opened: { readonly atMs: number; readonly used: NodeJS.CpuUsage } | undefined;
  const driver: VmmDriver = {
    ...ground.kind.driver,
    restore: async (plan, template, signal) => {
      const watcher = watch(plan.directory, (_event, name) => {
        if (name === API_SOCKET) opened ??= { atMs: performance.now(), used: process.cpuUsage() };
      });
      try {
        return await ground.kind.driver.restore(plan, template, signal);
      } finally {
        watcher.close();
      }
    },
  };
  const begin = performance.now();
  const machine = await startWarm({ ...ground, kind: { ...ground.kind, driver } });
  const wholeMs = performance.now() - begin;
  if (opened === undefined) throw new Error("nobody saw the VMM open its API");
  const { user, system } = process.cpuUsage(opened.used);
  await machine.scope.close();
  return { wholeMs, pyroMs: opened.atMs - begin + (user + system) / 1000 };
}
