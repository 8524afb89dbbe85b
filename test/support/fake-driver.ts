/** A VMM whose machines are the real agent on a Unix socket of this host; what it saves are a few bytes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { PyroError } from "../../src/contract/error.ts";
import { identifyProcess, type ProcessIdentity } from "../../src/host/process-identity.ts";
import type { Channel, MachinePlan, RunningMachine, TemplateFiles, VmmDriver, VmmExit } from "../../src/vmm/driver.ts";
import { vmmEnded } from "../../src/vmm/vmm-exit.ts";
import { type RealAgent, startMortalAgent } from "./real-agent.ts";

/** What is done with a machine, in this order; `configure` begins when the agent has answered the greeting. */
export type Step = "boot" | "save" | "restore" | "connect" | "configure";

/**
 * Called in the middle of each step, when the machine's process runs. What it throws is how the step fails; it must not
 * throw in `configure`, which is the agent's.
 */
type During = (step: Step, machine: FakeMachine) => void | Promise<void>;

export class FakeDriver implements VmmDriver {
  readonly kind = "qemu";
  readonly accelerator = "tcg";
  templateIdentity = "the real agent on this host";
  readonly executionMode = "guest_serial";
  readonly kernelFormat = "bzimage";
  /** The steps so far. */
  readonly steps: Step[] = [];
  /** Machines whose process runs. */
  readonly running = new Set<FakeMachine>();
  during: During = () => undefined;

  /** How often a step was taken. */
  count(step: Step): number {
    return this.steps.filter((each) => each === step).length;
  }

  async boot(plan: MachinePlan, { memoryPath }: { memoryPath?: string }): Promise<RunningMachine> {
    const machine = await this.#start(plan);
    if (memoryPath !== undefined) await writeFile(memoryPath, "memory");
    return await machine.orEnd(this.step("boot", machine));
  }

  async restore(plan: MachinePlan, template: TemplateFiles, signal?: AbortSignal): Promise<RunningMachine> {
    const state = await readFile(template.statePath, "utf8");
    assert.equal(state + (await readFile(template.memoryPath, "utf8")), "statememory");
    const machine = await this.#start(plan);
    const onAbort = (): void => void machine.kill();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await machine.orEnd(this.step("restore", machine));
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async step(step: Step, machine: FakeMachine): Promise<FakeMachine> {
    this.steps.push(step);
    await this.during(step, machine);
    return machine;
  }

  async #start(plan: MachinePlan): Promise<FakeMachine> {
    const machine = new FakeMachine(this, await startMortalAgent(plan.directory));
    this.running.add(machine);
    void machine.exited.then(() => this.running.delete(machine));
    return machine;
  }
}

export class FakeMachine implements RunningMachine {
  readonly process: ProcessIdentity;
  readonly exited: Promise<VmmExit>;
  readonly #driver: FakeDriver;
  readonly #agent: RealAgent;

  constructor(driver: FakeDriver, agent: RealAgent) {
    this.#driver = driver;
    this.#agent = agent;
    this.process = identifyProcess(agent.child.pid ?? 0) ?? assert.fail("the agent did not start");
    this.exited = once(agent.child, "exit").then(([code, signal]: (number | string | null)[]) => ({
      code: code as number | null,
      signal: signal as string | null,
      vmmLog: "",
      consoleTail: "",
    }));
  }

  async connect(_channel: Channel, _deadlineMs: number): Promise<Socket> {
    // As with a VMM, a failed connect leaves the machine to its owner.
    await this.#orExit(this.#driver.step("connect", this));
    const socket = await this.#orExit(this.#agent.connect());
    // The greeting stops reading when it has its answer.
    socket.once("pause", () => void this.#driver.step("configure", this));
    return socket;
  }

  async save({ statePath }: TemplateFiles): Promise<void> {
    await this.orEnd(writeFile(statePath, "state").then(async () => await this.#driver.step("save", this)));
    await this.kill();
  }

  async growVolume(): Promise<void> {
    await Promise.reject(new PyroError("vmm_failed", "this machine has no volume"));
  }

  async pause(): Promise<void> {
    this.#agent.child.kill("SIGSTOP");
    await Promise.resolve();
  }

  async resume(): Promise<void> {
    this.#agent.child.kill("SIGCONT");
    await Promise.resolve();
  }

  async kill(): Promise<void> {
    this.#agent.child.kill("SIGKILL");
    await this.exited;
  }

  /** No call is answered from now on; the process can still be killed. */
  freeze(): void {
    this.#agent.child.kill("SIGSTOP");
  }

  consoleTail(): string {
    return "";
  }

  /** The value of `promise`; when it fails, the process is gone too, and if it went by itself that is the reason. */
  async orEnd<T>(promise: Promise<T>): Promise<T> {
    try {
      return await this.#orExit(promise);
    } catch (failure) {
      await this.kill();
      throw PyroError.from(failure);
    }
  }

  async #orExit<T>(promise: Promise<T>): Promise<T> {
    promise.catch(() => undefined);
    return await Promise.race([promise, this.exited.then((exit) => Promise.reject(vmmEnded(exit)))]);
  }
}
