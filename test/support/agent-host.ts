/** Machines as a server has them, with the real agent in the place of guests and a driver that starts nothing else. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ErrorCode, PyroError } from "../../src/contract/error.ts";
import { hostPaths, templatesDirectory } from "../../src/host/paths.ts";
import type { BootableEnvironment } from "../../src/machine/bootable.ts";
import type { Exec, Machines, OpenMachine, OpenRequest } from "../../src/machine/machine.ts";
import { createMachines, type MachineSources } from "../../src/machine/machines.ts";
import { FakeDriver, type Step } from "./fake-driver.ts";

const file = { path: "/nowhere", sha256: "0" };
const ENVIRONMENT: BootableEnvironment = {
  name: "debian:12",
  version: "1",
  installDir: "/nowhere",
  defaults: { vcpuCount: 1, memoryMib: 1 },
  rootfs: { ...file, format: "ext4" },
  kernel: { sha256: "0", file: async () => await Promise.resolve(file.path) },
  initramfs: file,
};

/** The machines of a server in directories of their own. At the end of the test nothing of them may be left. */
export class Host {
  readonly driver = new FakeDriver();
  readonly notices: string[] = [];
  /** Called when the environment is asked for. */
  onEnvironment: () => void = () => undefined;
  readonly #root: string;
  readonly #paths: ReturnType<typeof hostPaths>;
  #machines: Machines | undefined;

  private constructor(root: string) {
    this.#root = root;
    this.#paths = hostPaths({ HOME: root, XDG_RUNTIME_DIR: root });
  }

  static async start(readyLimit = 0): Promise<Host> {
    const host = new Host(await mkdtemp(join(tmpdir(), "pyro-m-")));
    const sources: MachineSources = {
      paths: host.#paths,
      readyLimit,
      onNotice: (notice) => host.notices.push(notice),
      environment: async (_name, { signal }) => {
        host.onEnvironment();
        if (signal.aborted) throw new PyroError("cancelled", "the installation was cancelled");
        return await Promise.resolve(ENVIRONMENT);
      },
      vmm: async () => await Promise.resolve({ driver: host.driver, isolation: "emulated", confinement: "full" }),
      adopt: () => assert.fail("nothing was left"),
      endVmm: () => assert.fail("nothing was left"),
    };
    host.#machines = await createMachines(sources, new Set());
    return host;
  }

  get machines(): Machines {
    return this.#machines ?? assert.fail("not started");
  }

  async open(request: Partial<OpenRequest> = {}): Promise<OpenMachine> {
    return await this.machines.open({
      environment: ENVIRONMENT.name,
      vcpuCount: undefined,
      memoryMib: undefined,
      machine: undefined,
      requireIsolation: "any",
      signal: new AbortController().signal,
      onPull: () => undefined,
      onPhase: () => undefined,
      ...request,
    });
  }

  /** Opens a machine with so much memory, which is a kind of its own, and closes it. */
  async use(memoryMib: number): Promise<void> {
    await (await this.open({ memoryMib })).close();
  }

  /** Waits until so many machines are ready. */
  async ready(count: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const look = (): void => (this.machines.counts().ready === count ? resolve() : undefined);
      this.machines.onChange(look);
      look();
    });
  }

  /** Directories of machines. */
  async directories(): Promise<string[]> {
    return await readdir(join(this.#paths.runtime, "m")).catch(() => []);
  }

  /** Templates, whole and partial. */
  async templates(): Promise<string[]> {
    return await readdir(templatesDirectory(this.#paths)).catch(() => []);
  }

  async leavesNothing(): Promise<void> {
    assert.equal(this.driver.running.size, 0);
    assert.deepEqual(await this.directories(), []);
    assert.deepEqual(
      (await this.templates()).filter((name) => name.startsWith(".")),
      [],
    );
    assert.deepEqual(this.machines.environmentsInUse(), new Set());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machines.close();
    await this.leavesNothing();
    await rm(this.#root, { recursive: true });
  }
}

/** Starts a shell script. */
export function run(
  machine: OpenMachine,
  script: string,
  how: { stdin?: AsyncIterable<Uint8Array>; onOutput?: (text: string) => void } = {},
): Exec {
  return machine.exec({
    argv: ["/bin/sh", "-c", script],
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/",
    user: "",
    timeLimitMs: 60_000,
    stdin: how.stdin,
    onOutput: (_stream, data) => how.onOutput?.(Buffer.from(data).toString()),
  });
}

/** Fails the first `times` of a step with `code`. */
export function failing(host: Host, step: Step, code: ErrorCode, times = Number.POSITIVE_INFINITY): void {
  let left = times;
  host.driver.during = (now) => {
    if (now !== step || left === 0) return;
    left -= 1;
    throw new PyroError(code, `the VMM refused to ${step}`);
  };
}

/** A promise and its end. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}
