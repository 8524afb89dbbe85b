/** All machines of one server. */
import { freemem } from "node:os";
import { PyroError } from "../contract/error.ts";
import type { PullProgress } from "../contract/environment.ts";
import type { HostPaths } from "../host/paths.ts";
import type { TemplateFiles } from "../vmm/driver.ts";
import { type BootableEnvironment, type MachineKind, templateParts } from "./bootable.ts";
import { ensureEmptySeed, endLeftoverMachines } from "./machine-directory.ts";
import type { Machines, OpenMachine, OpenRequest } from "./machine.ts";
import { openMachine } from "./open-machine.ts";
import { ReadyMachines } from "./ready-machines.ts";
import { SingleFlight } from "../host/single-flight.ts";
import { dropTemplate, ensureTemplate, type StartContext, type StartedMachine, startFromTemplate } from "./start.ts";
import { templateKey } from "./template.ts";

/** What the machine layer needs of the layers below, chosen by whoever composes the server. */
export interface MachineSources {
  readonly paths: HostPaths;
  /** Installs the environment if it is not, and gives its files. */
  readonly environment: (
    name: string,
    how: { force: boolean; signal: AbortSignal; onProgress: (progress: PullProgress) => void },
  ) => Promise<BootableEnvironment>;
  /** Chooses the VMM. @throws PyroError host_unsupported, dependency_missing */
  readonly vmm: (requireIsolation: "any" | "hardware") => Promise<Pick<MachineKind, "driver" | "isolation">>;
  /** Machines kept ready for the next call; 0: none. */
  readonly readyLimit: number;
  /** Told of what a person should know and no call fails for. */
  readonly onNotice: (notice: string) => void;
}

/** Share of the host's free memory that a new machine may take at most. */
const FREE_MEMORY_SHARE = 0.9;

/** Cleans up what an earlier server left, then serves machines. */
export async function createMachines(sources: MachineSources): Promise<Machines> {
  await endLeftoverMachines(sources.paths);
  await ensureEmptySeed(sources.paths);
  return new MachineTable(sources);
}

class MachineTable implements Machines {
  readonly #sources: MachineSources;
  readonly #held = new Map<string, { machine: OpenMachine; kind: MachineKind }>();
  readonly #templates = new SingleFlight<TemplateFiles, "building">();
  readonly #ready: ReadyMachines;
  readonly #listeners = new Set<() => void>();
  #closed = false;

  constructor(sources: MachineSources) {
    this.#sources = sources;
    this.#ready = new ReadyMachines({
      limit: sources.readyLimit,
      onChange: () => this.#changed(),
      start: async (kind, signal) => {
        const context = this.#context(signal);
        return await startFromTemplate(kind, await this.#template(kind, context, () => undefined), context);
      },
    });
  }

  async open(request: OpenRequest): Promise<OpenMachine> {
    if (this.#closed) throw new PyroError("invalid_state", "the server is stopping");
    const vmm = await this.#sources.vmm(request.requireIsolation);
    request.onPhase("create", undefined);
    const environment = await this.#sources.environment(request.environment, {
      force: false,
      signal: request.signal,
      onProgress: request.onPull,
    });
    const shape = {
      vcpuCount: request.vcpuCount ?? environment.defaults.vcpuCount,
      memoryMib: request.memoryMib ?? environment.defaults.memoryMib,
    };
    const kind: MachineKind = { environment, shape, ...vmm };
    const started = (await this.#ready.take(kind)) ?? (await this.#start(kind, request));
    if (request.signal.aborted || this.#closed) {
      await started.scope.close();
      throw new PyroError("cancelled", "the start of the machine was cancelled");
    }
    const machine = openMachine(started, kind, () => this.#release(started.id));
    this.#held.set(machine.id, { machine, kind });
    this.#changed();
    request.onPhase("start", machine.id);
    return machine;
  }

  async pull(
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
    await this.#template(kind, this.#context(options.signal), () => {
      options.onProgress({ phase: "template", environment: name });
    });
    options.onProgress({ phase: "ready", environment: name });
  }

  environmentsInUse(): ReadonlySet<string> {
    return new Set([...this.#held.values()].map(({ kind }) => kind.environment.installDir));
  }

  counts(): { held: number; ready: number } {
    return { held: this.#held.size, ready: this.#ready.count };
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#ready.close(), ...[...this.#held.values()].map(({ machine }) => machine.close())]);
  }

  async #start(kind: MachineKind, request: OpenRequest): Promise<StartedMachine> {
    checkMemory(kind);
    const context = this.#context(request.signal);
    const build = (): void => request.onPull({ phase: "template", environment: kind.environment.name });
    try {
      return await startFromTemplate(kind, await this.#template(kind, context, build), context);
    } catch (failure) {
      // Nothing of the caller's has run yet, so a template that this VMM does not load may be made again: once.
      const error = PyroError.from(failure);
      if (error.code !== "vmm_failed" && error.code !== "guest_unreachable") throw error;
      this.#sources.onNotice(
        `the template of ${kind.environment.name} did not start and is made again: ${error.message}`,
      );
      await dropTemplate(kind, this.#sources.paths);
      return await startFromTemplate(kind, await this.#template(kind, context, build), context);
    }
  }

  async #template(kind: MachineKind, context: StartContext, onBuild: () => void): Promise<TemplateFiles> {
    const key = templateKey(templateParts(kind));
    return await this.#templates.join(key, { signal: context.signal, onProgress: onBuild }, async (signal, note) => {
      return await ensureTemplate(kind, { ...context, signal }, () => note("building"));
    });
  }

  #context(signal: AbortSignal): StartContext {
    return { paths: this.#sources.paths, onNotice: this.#sources.onNotice, signal };
  }

  #release(id: string): void {
    const entry = this.#held.get(id);
    this.#held.delete(id);
    this.#changed();
    // Not earlier: making a machine ready takes CPU that the command had better use.
    if (entry !== undefined && !this.#closed) this.#ready.prepare(entry.kind);
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
