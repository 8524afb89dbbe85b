/**
 * Machines without guests: the outermost seam of the server, replaced. Commands are small words that say what to do, so
 * that every behaviour of a guest can be had on demand.
 */
import { PyroError } from "../../src/contract/error.ts";
import type {
  Exec,
  ExecOutcome,
  ExecRequest,
  KeptExec,
  LeftCommand,
  Machines,
  MachineVolume,
  OpenMachine,
  OpenRequest,
  TerminalSize,
} from "../../src/machine/machine.ts";

import type { CrashSteps } from "./crash-steps.ts";
import { FakeKept } from "./fake-kept.ts";
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

/** What happens to a machine, as its history has it. */
type MachineChange = "close" | "leave" | "pause" | "resume";

class FakeMachine implements OpenMachine {
  readonly id: string;
  readonly environment: string;
  readonly environmentVersion = "1.0.0";
  readonly environmentDigest: string;
  readonly shape: { vcpuCount: number; memoryMib: number };
  readonly machineName = "qemu-tcg";
  readonly installDir = "/environments/fake";
  readonly volume: MachineVolume | undefined;
  readonly executionMode = "guest_serial";
  readonly isolation = "emulated";
  readonly confinement = "full";
  readonly lost: Promise<PyroError>;
  readonly #onChange: (how: MachineChange) => void;
  readonly #commands = new Map<string, LeftCommand>();
  readonly #ended = new AbortController();
  readonly #kept = new FakeKept();
  #execs = 0;
  #lose: (why: PyroError) => void = () => undefined;

  readonly #disk: FakeDisk | undefined;
  readonly #step: () => Promise<void>;

  constructor(
    id: string,
    request: OpenRequest,
    { disk, step, digest }: { disk: FakeDisk | undefined; step: () => Promise<void>; digest: string },
    onChange: (how: MachineChange) => void,
  ) {
    this.id = id;
    this.#disk = disk;
    this.#step = step;
    this.volume = disk?.volume(step);
    this.environment = request.environment;
    this.environmentDigest = digest;
    this.shape = { vcpuCount: request.vcpuCount ?? 1, memoryMib: request.memoryMib ?? 1024 };
    this.#onChange = onChange;
    this.lost = new Promise((resolve) => (this.#lose = resolve));
  }

  exec(given: ExecRequest): Exec {
    this.#execs += 1;
    const id = this.#execs.toString(16).padStart(16, "0");
    const resizes = new EventTarget();
    const said: ["stdout" | "stderr", Uint8Array][] = [];
    const request: ExecRequest = {
      ...given,
      onOutput: (stream, data) => {
        said.push([stream, data]);
        return given.onOutput(stream, data);
      },
    };
    const running = this.#kept.keeping(id, request, (wanted) => this.#run(wanted, resizes));
    const end = async (onOutput: ExecRequest["onOutput"]): Promise<ExecOutcome> => {
      for (const [stream, data] of said) await onOutput(stream, data);
      await running.signal(9);
      return await running.outcome;
    };
    const note = given.keep?.note ?? new Uint8Array();
    this.#commands.set(id, { execId: id, isRunning: true, note, end });
    const over = (): void => {
      this.#commands.delete(id);
      if (given.keep !== undefined) this.#commands.set(id, { execId: id, isRunning: false, note, end });
    };
    running.outcome.then(over, over);
    return {
      ...running,
      id,
      started: Promise.resolve(),
      resize: (size) => {
        resizes.dispatchEvent(new CustomEvent("resize", { detail: size }));
        return Promise.resolve(request.terminal !== undefined && !this.#ended.signal.aborted);
      },
    };
  }

  kept(id: string): KeptExec {
    return this.#kept.kept(id);
  }

  #run(request: ExecRequest, resizes: EventTarget): Pick<Exec, "signal" | "outcome"> {
    const signals = new EventTarget();
    const context = { request, signals, resizes, ended: this.#ended.signal, lose: this.#lose, disk: this.#disk };
    const outcome = (async () => {
      const [name = "", ...args] = request.argv;
      const command = COMMANDS[name.split("/").at(-1) ?? ""];
      const start = performance.now();
      const end = command === undefined ? { exitCode: 127 } : await command(args, context);
      return { signal: null, timedOut: false, outOfMemory: false, durationMs: performance.now() - start, ...end };
    })();
    outcome.catch(() => undefined);
    return {
      outcome,
      signal: (number) => {
        signals.dispatchEvent(new CustomEvent("signal", { detail: number }));
        return Promise.resolve(!this.#ended.signal.aborted);
      },
    };
  }

  async commands(): Promise<LeftCommand[]> {
    return await Promise.resolve([...this.#commands.values()]);
  }

  leave(): void {
    this.#onChange("leave");
  }

  async pause(): Promise<void> {
    this.#onChange("pause");
    await Promise.resolve();
  }

  async resume(): Promise<void> {
    this.#onChange("resume");
    await Promise.resolve();
  }

  async close(): Promise<void> {
    if (this.#ended.signal.aborted) return;
    await this.#step();
    this.#ended.abort();
    this.#onChange("close");
    await this.#step();
  }
}

interface CommandContext {
  readonly request: ExecRequest;
  readonly signals: EventTarget;
  readonly resizes: EventTarget;
  readonly ended: AbortSignal;
  readonly lose: (why: PyroError) => void;
  readonly disk: FakeDisk | undefined;
}

type FakeCommand = (
  args: readonly string[],
  context: CommandContext,
) => Promise<Partial<ExecOutcome> & { exitCode: number }>;

const say = async ({ request }: CommandContext, stream: "stdout" | "stderr", text: string): Promise<void> => {
  await request.onOutput(stream, new TextEncoder().encode(text));
};

/** What a fake guest can do, by the name of the program. */
const COMMANDS: Readonly<Record<string, FakeCommand>> = {
  true: () => Promise.resolve({ exitCode: 0 }),
  exit: ([code = "0"]) => Promise.resolve({ exitCode: Number(code) }),
  git: async (_args, context) => {
    await say(context, "stdout", "git version 2.39.5\n");
    return { exitCode: 0 };
  },
  echo: async (args, context) => {
    await say(context, "stdout", `${args.join(" ")}\n`);
    return { exitCode: 0 };
  },
  /** The script that a shell would get. */
  sh: async (args, context) => {
    await say(context, "stdout", `script ${JSON.stringify(args)}\n`);
    return { exitCode: 0 };
  },
  /** Text on a stream, without a newline after it: `print stderr text`. */
  print: async ([stream = "stdout", text = ""], context) => {
    await say(context, stream === "stderr" ? "stderr" : "stdout", text);
    return { exitCode: 0 };
  },
  /** Bytes that are no UTF-8. */
  binary: async (_args, context) => {
    await context.request.onOutput("stdout", Uint8Array.of(0xff, 0xfe, 0x00, 0x0a));
    return { exitCode: 0 };
  },
  /** What it was given, as JSON. */
  request: async (args, context) => {
    const { env, cwd, user, timeLimitMs } = context.request;
    await say(context, "stdout", JSON.stringify({ args, env, cwd, user, timeLimitMs }));
    return { exitCode: 0 };
  },
  /** Changes the workspace's tree. */
  touch: async (_args, { disk }) => {
    if (disk !== undefined) {
      disk.generation += 1;
      disk.tree += "+";
    }
    return await Promise.resolve({ exitCode: 0 });
  },
  cat: async (_args, context) => {
    for await (const piece of context.request.stdin ?? []) await context.request.onOutput("stdout", piece);
    return { exitCode: 0 };
  },
  /** `flood BYTES`: as fast as it is taken. */
  flood: async ([bytes = "0"], { request, ended }) => {
    const piece = new Uint8Array(64 * 1024).fill(0x61);
    for (let left = Number(bytes); left > 0 && !ended.aborted; left -= piece.length) {
      const waiting = request.onOutput("stdout", left >= piece.length ? piece : piece.subarray(0, left));
      if (waiting !== undefined) await waiting;
    }
    return { exitCode: 0 };
  },
  /** Until it gets a signal, which ends it as it would a shell's child. */
  sleep: async (_args, context) => {
    await say(context, "stdout", "sleeping\n");
    return await signalled(context);
  },
  /** As `sleep`, and says every signal instead of ending. */
  stubborn: async (_args, context) => {
    context.signals.addEventListener(
      "signal",
      (event) => void say(context, "stdout", `signal ${(event as CustomEvent<number>).detail}\n`),
    );
    await say(context, "stdout", "sleeping\n");
    await aborted(context.ended);
    return { exitCode: 137, signal: 9 };
  },
  /** Says its terminal's size now and at every change, and what is typed, byte by byte, up to a `q`. */
  terminal: async (_args, context) => {
    const { terminal, env } = context.request;
    const size = (now: TerminalSize | undefined): string => (now === undefined ? "none" : `${now.columns}x${now.rows}`);
    context.resizes.addEventListener(
      "resize",
      (event) => void say(context, "stdout", `resized ${size((event as CustomEvent<TerminalSize>).detail)}\r\n`),
    );
    await say(context, "stdout", `terminal ${size(terminal)} ${env["TERM"] ?? "without TERM"}\r\n`);
    for await (const piece of context.request.stdin ?? []) {
      for (const byte of piece) {
        if (byte === 0x71) return { exitCode: 5 };
        await say(context, "stdout", `byte ${byte}\r\n`);
      }
    }
    return { exitCode: 0 };
  },
  timeout: () => Promise.resolve({ exitCode: 124, signal: 9, timedOut: true }),
  oom: () => Promise.resolve({ exitCode: 137, signal: 9, outOfMemory: true }),
  /** The VMM dies under it. */
  crash: (_args, { lose }) => {
    const why = new PyroError("vmm_failed", "the VMM ended on its own", {
      evidence: { console: "line one\n\u001b[31mpanic\u001b[0m" },
    });
    lose(why);
    return Promise.reject(why);
  },
};

async function signalled({ signals, ended }: CommandContext): Promise<{ exitCode: number; signal: number }> {
  return await new Promise((resolve) => {
    signals.addEventListener("signal", (event) => {
      const number = (event as CustomEvent<number>).detail;
      resolve({ exitCode: 128 + number, signal: number });
    });
    ended.addEventListener("abort", () => resolve({ exitCode: 137, signal: 9 }));
  });
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
