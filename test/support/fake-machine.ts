/** One machine without a guest: its commands are those of `fake-commands.ts`, its volume is in memory. */
import type { PyroError } from "../../src/contract/error.ts";
import type {
  Exec,
  ExecOutcome,
  ExecRequest,
  KeptExec,
  LeftCommand,
  MachineVolume,
  OpenMachine,
  OpenRequest,
} from "../../src/machine/machine.ts";
import { COMMANDS } from "./fake-commands.ts";
import { FakeKept } from "./fake-kept.ts";
import type { FakeDisk } from "./fake-volume.ts";

/** What happens to a machine, as its history has it. */
type MachineChange = "close" | "leave" | "pause" | "resume";

export class FakeMachine implements OpenMachine {
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
