/** Machines without guests: the outermost seam of the server, replaced. */
import { PyroError } from "../../src/contract/error.ts";
import type { Machines, OpenMachine, OpenRequest } from "../../src/machine/machine.ts";
import type { CrashSteps } from "./crash-steps.ts";
import { aborted } from "./fake-commands.ts";
import { FakeMachine } from "./fake-machine.ts";
import { FakeDisk } from "./fake-volume.ts";

export interface FakeOptions {
  /** Told of what happens, one word each: "open ID", "close ID". */
  readonly onHistory?: (line: string) => void;
  /** Machines that are kept ready. */
  readonly ready?: number;
}

/** Environments that are known; others are not_found. */
export const FAKE_ENVIRONMENTS = ["debian:12", "debian:12-base"];

export class FakeMachines implements Machines {
  /** What the next works fail with, in order. */
  readonly workFailures: PyroError[] = [];
  readonly history: string[] = [];
  /** Ids of machines whose guests do not answer the next server. */
  readonly unanswering = new Set<string>();
  /** Digest of the root that is installed; those before are kept while they are in here. */
  installedDigest = "a".repeat(64);
  readonly keptDigests = new Set<string>();
  /** Counted are a machine's opening and end, and what is done to a volume. */
  steps: CrashSteps | undefined;
  readonly #options: FakeOptions;
  readonly #held = new Map<string, FakeMachine>();
  readonly #left = new Map<string, FakeMachine>();
  readonly #listeners: (() => void)[] = [];
  readonly #disks = new Map<string, FakeDisk>();
  #count = 0;

  constructor(options: FakeOptions = {}) {
    this.#options = options;
  }

  async open(request: OpenRequest): Promise<OpenMachine> {
    if (!FAKE_ENVIRONMENTS.includes(request.environment)) {
      throw new PyroError("not_found", `there is no environment ${request.environment}`, {
        remedy: `known are ${FAKE_ENVIRONMENTS.join(", ")}`,
      });
    }
    // It stands for every machine that a host does not have.
    if (request.machine === "firecracker") throw new PyroError("host_unsupported", "this host has no Firecracker");
    if (request.requireIsolation === "hardware") throw new PyroError("host_unsupported", "this host only emulates");
    request.onPhase("create", undefined);
    // 2999 MiB stands for an environment that is being installed until the caller goes away.
    if (request.memoryMib === 2999) {
      request.onPull({ phase: "install", environment: request.environment });
      request.onPull({ phase: "packages", environment: request.environment, bytes: 4096, percent: 12.5 });
      await aborted(request.signal);
      this.#say("pull cancelled");
      throw new PyroError("cancelled", "the caller went away");
    }
    await this.#step();
    this.#count += 1;
    const id = this.#count.toString(16).padStart(12, "0");
    const machine = new FakeMachine(
      id,
      request,
      { disk: this.#disk(request), step: this.#step, digest: this.#digest(request) },
      (how) => {
        if (how === "close" || how === "leave") this.#held.delete(id);
        if (how === "leave") this.#left.set(id, machine);
        this.#say(`${how} ${id}`);
      },
    );
    this.#held.set(machine.id, machine);
    this.#say(`open ${machine.id}`);
    request.onPhase("start", machine.id);
    await this.#step();
    return machine;
  }

  readonly #step = async (): Promise<void> => await (this.steps?.step() ?? Promise.resolve());

  /** What the machine of a server that was killed, or that has let go of it, is for the next one. */
  async adopt(id: string): Promise<OpenMachine | undefined> {
    if (this.unanswering.delete(id)) throw new PyroError("guest_unreachable", "it does not answer");
    const machine = this.#left.get(id) ?? this.#held.get(id);
    this.#left.delete(id);
    if (machine === undefined) return await Promise.resolve(undefined);
    this.#held.set(id, machine);
    this.#say(`adopt ${id}`);
    return machine;
  }

  /** What a server that starts does with machines that nobody claims. */
  endAllBut(claimed: ReadonlySet<string>): void {
    for (const each of [this.#held, this.#left]) {
      for (const id of each.keys()) if (!claimed.has(id)) each.delete(id);
    }
  }

  /** The host went down: the machines are gone, and nobody was told. */
  cut(): void {
    this.#held.clear();
    this.#left.clear();
  }

  /** What lies in a volume's file. */
  disk(path: string): FakeDisk {
    const disk = this.#disks.get(path) ?? new FakeDisk();
    this.#disks.set(path, disk);
    return disk;
  }

  #digest({ startedFrom }: OpenRequest): string {
    const isThere = startedFrom !== undefined && this.keptDigests.has(startedFrom.digest);
    return isThere ? startedFrom.digest : this.installedDigest;
  }

  #disk({ volume }: OpenRequest): FakeDisk | undefined {
    if (volume === undefined) return undefined;
    const disk = this.disk(volume.path);
    disk.prepare(volume);
    return disk;
  }

  /** Makes nothing: what it is told to fill stays as it is. */
  async work(...[, workshop]: Parameters<Machines["work"]>): Promise<void> {
    this.#say(`make ${workshop.makes}`);
    const failure = this.workFailures.shift();
    if (failure !== undefined) throw failure;
    if (workshop.makes === "seed") workshop.onStep({ phase: "fill", entries: 1, bytes: 1 });
    await Promise.resolve();
  }

  async pull(name: string, options: Parameters<Machines["pull"]>[1]): Promise<void> {
    if (!FAKE_ENVIRONMENTS.includes(name)) throw new PyroError("not_found", `there is no environment ${name}`);
    options.onProgress({ phase: "install", environment: name });
    options.onProgress({ phase: "ready", environment: name });
    await Promise.resolve();
  }

  environmentsInUse(): ReadonlySet<string> {
    return new Set();
  }

  counts(): { held: number; ready: number } {
    return { held: this.#held.size, ready: this.#options.ready ?? 0 };
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#held.values()].map(async (machine) => await machine.close()));
    this.#say("closed all");
  }

  #say(line: string): void {
    this.history.push(line);
    this.#options.onHistory?.(line);
    for (const listener of this.#listeners) listener();
  }
}
