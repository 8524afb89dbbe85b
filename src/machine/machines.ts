/** All machines of one server. */
import { freemem } from "node:os";
import { type ErrorCode, PyroError } from "../contract/error.ts";
import type { PullProgress } from "../contract/environment.ts";
import type { MachineName } from "../contract/run.ts";
import { type HostPaths, type InstalledRoot, installPlaces } from "../host/paths.ts";
import type { ProcessIdentity } from "../host/process-identity.ts";
import type { LeftMachine } from "../vmm/adopt.ts";
import type { RunningMachine } from "../vmm/driver.ts";
import { adoptStarted } from "./adopt.ts";
import { type BootableEnvironment, describe, type MachineKind, templateParts } from "./bootable.ts";
import { ensureEmptySeed, endLeftoverMachines } from "./machine-directory.ts";
import type { Machines, OpenMachine, OpenRequest, Workshop, WorkshopRequest } from "./machine.ts";
import { openMachine } from "./open-machine.ts";
import { ReadyMachines } from "./ready-machines.ts";
import { SingleFlight } from "../host/single-flight.ts";
import {
  type ConfiguredMachine,
  ensureTemplate,
  type StartContext,
  startFromTemplate,
  workFromTemplate,
} from "./start.ts";
import { removePartialTemplates, type Template, templateKey } from "./template.ts";

/** What the machine layer needs of the layers below, chosen by whoever composes the server. */
export interface MachineSources {
  readonly paths: HostPaths;
  /** Installs the environment if it is not, and gives its files; those of `startedFrom` where they are still there. */
  readonly environment: (
    name: string,
    how: {
      startedFrom?: InstalledRoot | undefined;
      force: boolean;
      signal: AbortSignal;
      onProgress: (progress: PullProgress) => void;
    },
  ) => Promise<BootableEnvironment>;
  /** Chooses the VMM. @throws PyroError host_unsupported, dependency_missing */
  readonly vmm: (
    requireIsolation: "any" | "hardware",
    machine?: MachineName,
  ) => Promise<Pick<MachineKind, "driver" | "isolation" | "confinement">>;
  /** Takes over a machine that a server before has left. */
  readonly adopt: (left: LeftMachine) => Promise<RunningMachine>;
  /** Ends a VMM, by its monitor, that a server before has left. */
  readonly endVmm: (monitor: ProcessIdentity) => Promise<void>;
  /** Machines kept ready for the next call; 0: none. */
  readonly readyLimit: number;
  /** Told of what a person should know and no call fails for. */
  readonly onNotice: (notice: string) => void;
}

/** Share of the host's free memory that a new machine may take at most. */
const FREE_MEMORY_SHARE = 0.9;

/** How a start fails when its template is not what this VMM can load. */
const TEMPLATE_MAY_BE_UNFIT: readonly ErrorCode[] = ["vmm_failed", "guest_unreachable", "artifact_corrupt"];

/** Cleans up what an earlier server left, except the machines that are `claimed`, then serves machines. */
export async function createMachines(sources: MachineSources, claimed: ReadonlySet<string>): Promise<Machines> {
  await endLeftoverMachines(sources.paths, { claimed, end: sources.endVmm, onNotice: sources.onNotice });
  await removePartialTemplates(sources.paths);
  await ensureEmptySeed(sources.paths);
  return new MachineTable(sources);
}

class MachineTable implements Machines {
  readonly #sources: MachineSources;
  /** Without a kind: adopted. */
  readonly #held = new Map<
    string,
    { machine: OpenMachine; kind?: MachineKind; answered?: Promise<void> | undefined }
  >();
  /** Kinds whose environment is being started from. */
  readonly #starting = new Set<MachineKind>();
  readonly #templates = new SingleFlight<Template, "building">();
  readonly #ready: ReadyMachines;
  readonly #listeners = new Set<() => void>();
  readonly #stopping = new AbortController();
  /** Calls that `close` cancels and waits for. */
  readonly #working = new Set<Promise<unknown>>();

  constructor(sources: MachineSources) {
    this.#sources = sources;
    this.#ready = new ReadyMachines({
      limit: sources.readyLimit,
      onChange: () => this.#changed(),
      onNotice: sources.onNotice,
      start: async (kind, signal) => {
        checkMemory(kind);
        const context = this.#context(signal);
        return await startFromTemplate(kind, await this.#template(kind, context, () => undefined), context);
      },
    });
  }

  async open(request: OpenRequest): Promise<OpenMachine> {
    return await this.#untilClosed(request.signal, async (signal) => await this.#open({ ...request, signal }));
  }

  async work(request: WorkshopRequest, workshop: Workshop): Promise<void> {
    await this.#untilClosed(request.signal, async (signal) => await this.#work({ ...request, signal }, workshop));
  }

  async adopt(id: string): Promise<OpenMachine | undefined> {
    const { paths, adopt } = this.#sources;
    const found = await this.#untilClosed(
      new AbortController().signal,
      async () => await adoptStarted(paths, id, adopt),
    );
    if (found === undefined) return undefined;
    const machine = openMachine(found.started, found.description, () => this.#release(id));
    this.#held.set(id, { machine });
    this.#changed();
    return machine;
  }

  async pull(
    name: string,
    options: { force: boolean; signal: AbortSignal; onProgress: (progress: PullProgress) => void },
  ): Promise<void> {
    await this.#untilClosed(options.signal, async (signal) => await this.#pull(name, { ...options, signal }));
  }

  environmentsInUse(): ReadonlySet<string> {
    const machines = [...[...this.#starting].map(describe), ...[...this.#held.values()].map(({ machine }) => machine)];
    return new Set(
      machines.flatMap(({ installDir, environmentDigest: digest }) => installPlaces({ installDir, digest })),
    );
  }

  counts(): { held: number; ready: number } {
    return { held: this.#held.size, ready: this.#ready.count };
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled(this.#working);
    await Promise.all([this.#ready.close(), ...[...this.#held.values()].map(({ machine }) => machine.close())]);
  }

  async #open(request: OpenRequest): Promise<OpenMachine> {
    const kind = await this.#kind(request, () => request.onPhase("create", undefined));
    const started = await this.#using(kind, async () => {
      // A ready machine has no volume, and none can be given to it.
      const ready = request.volume === undefined ? await this.#ready.take(kind, request.signal) : undefined;
      return ready ?? (await this.#start(kind, request));
    });
    if (request.signal.aborted) {
      await started.scope.close();
      throw new PyroError("cancelled", "the start of the machine was cancelled");
    }
    const machine = openMachine(started, describe(kind), () => this.#release(started.id));
    this.#held.set(machine.id, { machine, kind, answered: request.answered });
    this.#changed();
    request.onPhase("start", machine.id);
    return machine;
  }

  async #work(request: WorkshopRequest, workshop: Workshop): Promise<void> {
    const kind = await this.#kind(request, () => undefined);
    await this.#using(kind, async () => {
      await this.#fromTemplate(kind, request, async (template, context) => {
        await workFromTemplate(kind, template, context, workshop);
      });
    });
  }

  /** The kind that is asked for; `onChosen` is called when it is known that there is one. */
  async #kind(request: WorkshopRequest, onChosen: () => void): Promise<MachineKind> {
    const vmm = await this.#sources.vmm(request.requireIsolation, request.machine);
    onChosen();
    const environment = await this.#sources.environment(request.environment, {
      startedFrom: request.startedFrom,
      force: false,
      signal: request.signal,
      onProgress: request.onPull,
    });
    const shape = {
      vcpuCount: request.vcpuCount ?? environment.defaults.vcpuCount,
      memoryMib: request.memoryMib ?? environment.defaults.memoryMib,
    };
    return { environment, shape, ...vmm };
  }

  async #pull(
    name: string,
    options: { force: boolean; signal: AbortSignal; onProgress: (progress: PullProgress) => void },
  ): Promise<void> {
    options.onProgress({ phase: "install", environment: name });
    const environment = await this.#sources.environment(name, {
      ...options,
      onProgress: (progress) => {
        // Said already, also for what turns out to be installed.
        if (progress.phase !== "install") options.onProgress(progress);
      },
    });
    const vmm = await this.#sources.vmm("any");
    const kind: MachineKind = { environment, shape: environment.defaults, ...vmm };
    await this.#using(kind, async () => {
      return await this.#template(kind, this.#context(options.signal), () => {
        options.onProgress({ phase: "template", environment: name });
      });
    });
    options.onProgress({ phase: "ready", environment: name });
  }

  async #start(kind: MachineKind, request: OpenRequest): Promise<ConfiguredMachine> {
    return await this.#fromTemplate(kind, request, async (template, context) => {
      return await startFromTemplate(kind, template, context, request.volume);
    });
  }

  async #fromTemplate<T>(
    kind: MachineKind,
    request: WorkshopRequest,
    start: (template: Template, context: StartContext) => Promise<T>,
  ): Promise<T> {
    checkMemory(kind);
    const context = this.#context(request.signal);
    const build = (): void => request.onPull({ phase: "template", environment: kind.environment.name });
    const template = await this.#template(kind, context, build);
    try {
      return await start(template, context);
    } catch (failure) {
      // Nothing of the caller's has run yet, so a template that this VMM does not load may be made again: once.
      if (!PyroError.is(failure) || !TEMPLATE_MAY_BE_UNFIT.includes(failure.code)) throw failure;
      this.#sources.onNotice(`${kind.environment.name} did not start from its template: ${failure.message}`);
      const another = await this.#template(kind, context, build, template.id);
      return await start(another, context);
    }
  }

  /** The kind's template, made once for all who want it now; any but the one named `unfit`. */
  async #template(kind: MachineKind, context: StartContext, onBuild: () => void, unfit?: string): Promise<Template> {
    const key = templateKey(templateParts(kind));
    const passenger = { signal: context.signal, onProgress: onBuild };
    for (;;) {
      const template = await this.#templates.join(key, passenger, async (signal, note) => {
        return await ensureTemplate(kind, { ...context, signal }, () => note("building"), unfit);
      });
      if (template.id !== unfit) return template;
      // That was the search of somebody who does not know yet that it is unfit.
    }
  }

  /** Runs `work` so that `close` cancels it and waits for its end. */
  async #untilClosed<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const stopping = this.#stopping.signal;
    if (stopping.aborted) throw new PyroError("invalid_state", "the server is stopping");
    const working = work(AbortSignal.any([signal, stopping]));
    this.#working.add(working);
    try {
      return await working;
    } finally {
      this.#working.delete(working);
    }
  }

  /** Runs `work` so that the kind's environment counts as used. */
  async #using<T>(kind: MachineKind, work: () => Promise<T>): Promise<T> {
    this.#starting.add(kind);
    try {
      return await work();
    } finally {
      this.#starting.delete(kind);
    }
  }

  #context(signal: AbortSignal): StartContext {
    return { paths: this.#sources.paths, onNotice: this.#sources.onNotice, signal };
  }

  #release(id: string): void {
    const entry = this.#held.get(id);
    this.#held.delete(id);
    this.#changed();
    // Not earlier: making a machine ready takes CPU that the command, and who reads its answer, had better use.
    const mayComeAgain = entry?.machine.volume === undefined;
    if (entry?.kind === undefined || !mayComeAgain) return;
    const { kind, answered = Promise.resolve() } = entry;
    void answered.then(() => {
      if (!this.#stopping.signal.aborted) this.#ready.prepare(kind);
    });
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Guest memory is taken as it is touched; a guest that may touch more than there is would meet the host's OOM killer. */
function checkMemory({ shape }: MachineKind): void {
  const freeMib = Math.floor((availableMemoryBytes() * FREE_MEMORY_SHARE) / 1024 ** 2);
  if (shape.memoryMib <= freeMib) return;
  throw new PyroError(
    "resource_exhausted",
    `the host has ${freeMib} MiB of memory to give, and the machine asks for ${shape.memoryMib}`,
    {
      remedy: "end other machines, or ask for less with --mem-mib",
    },
  );
}

/** On Linux os.freemem() is MemAvailable (libuv uv_get_free_memory). */
const availableMemoryBytes = freemem;
