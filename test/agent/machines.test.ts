/** Opening, keeping ready and ending machines, with the real agent in the place of guests. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type ErrorCode, PyroError } from "../../src/contract/error.ts";
import { hostPaths, templatesDirectory } from "../../src/host/paths.ts";
import { isAlive } from "../../src/host/process-identity.ts";
import type { BootableEnvironment } from "../../src/machine/bootable.ts";
import type { Exec, Machines, OpenMachine, OpenRequest } from "../../src/machine/machine.ts";
import { createMachines, type MachineSources } from "../../src/machine/machines.ts";
import { FakeDriver, type FakeMachine, type Step } from "../support/fake-driver.ts";

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
class Host {
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
function run(
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
function failing(host: Host, step: Step, code: ErrorCode, times = Number.POSITIVE_INFINITY): void {
  let left = times;
  host.driver.during = (now) => {
    if (now !== step || left === 0) return;
    left -= 1;
    throw new PyroError(code, `the VMM refused to ${step}`);
  };
}

/** A promise and its end. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

test("machines: one that was opened answers a command, and closing it leaves no directory and no process", async () => {
  await using host = await Host.start();
  const machine = await host.open();
  assert.deepEqual(await host.directories(), [machine.id]);
  let output = "";
  const outcome = await run(machine, "echo works; exit 3", { onOutput: (text) => void (output += text) }).outcome;
  assert.deepEqual([outcome.exitCode, output], [3, "works\n"]);
  assert.deepEqual(host.machines.counts(), { held: 1, ready: 0 });
  await Promise.all([machine.close(), machine.close()]);
  assert.deepEqual(host.machines.counts(), { held: 0, ready: 0 });
  await host.leavesNothing();
});

/** The moments of a first start at which its caller may go away. */
const MOMENTS: readonly { when: string; arrange: (host: Host, abort: () => void) => void }[] = [
  { when: "before it begins", arrange: (_host, abort) => abort() },
  { when: "in the environment", arrange: (host, abort) => void (host.onEnvironment = abort) },
  ...(["boot", "save", "restore", "connect", "configure"] as const).map((step) => ({
    when: `in ${step}`,
    arrange: (host: Host, abort: () => void): void => {
      host.driver.during = (now) => (now === step ? abort() : undefined);
    },
  })),
  ...(["connect", "configure"] as const).map((step) => ({
    when: `in ${step} of a restored machine that does not answer`,
    arrange: (host: Host, abort: () => void): void => {
      host.driver.during = (now, machine) => {
        if (now !== step || host.driver.count("restore") === 0) return;
        machine.freeze();
        abort();
      };
    },
  })),
];

for (const { when, arrange } of MOMENTS) {
  // Well below the deadlines of what is waited for: it is the cancelling that ends it.
  test(`machines: a start cancelled ${when} is answered so and leaves nothing`, { timeout: 20_000 }, async () => {
    await using host = await Host.start();
    const caller = new AbortController();
    arrange(host, () => caller.abort());
    await assert.rejects(host.open({ signal: caller.signal }), { code: "cancelled" });
    await host.leavesNothing();
    host.onEnvironment = () => undefined;
    host.driver.during = () => undefined;
    await host.use(1);
  });
}

for (const step of ["restore", "connect"] as const) {
  test(`machines: a template that fails in ${step} is made again once, and then the error is the VMM's`, async () => {
    await using host = await Host.start();
    await host.use(1);
    let restored = true;
    host.driver.during = (now) => {
      if (now === "boot" || now === "restore") restored = now === "restore";
      if (now === step && restored) throw new PyroError("vmm_failed", "no such device");
    };
    await assert.rejects(host.open(), { code: "vmm_failed", message: "no such device" });
    assert.deepEqual([host.driver.count("boot"), host.driver.count("restore")], [2, 3]);
    await host.leavesNothing();
  });
}

test("machines: a template that starts when it was made again is a start like any other", async () => {
  await using host = await Host.start();
  failing(host, "restore", "artifact_corrupt", 1);
  const machine = await host.open();
  assert.equal((await run(machine, "exit 0").outcome).exitCode, 0);
  assert.equal(host.driver.count("boot"), 2);
  assert.match(host.notices.join("\n"), /refused to restore/);
  assert.match(host.notices.join("\n"), /made again/);
  assert.equal((await host.templates()).length, 1);
  await machine.close();
});

test("machines: a template of another CPU, VMM or host kernel is not loaded: one is made, which is said once", async () => {
  await using host = await Host.start();
  await host.use(1);
  const phases: string[] = [];
  for (const [index, identity] of ["another CPU", "another VMM", "another kernel"].entries()) {
    host.driver.templateIdentity = identity;
    for (const restores of [1, 2]) {
      const machine = await host.open({ memoryMib: 1, onPull: ({ phase }) => void phases.push(phase) });
      assert.equal(host.driver.count("boot"), 2 + index);
      assert.equal(host.driver.count("restore"), 1 + 2 * index + restores);
      await machine.close();
    }
  }
  assert.deepEqual(phases, ["template", "template", "template"]);
});

test("machines: two that meet an unfit template make one new one", async () => {
  await using host = await Host.start();
  await host.use(1);
  const both = gate();
  let unfit = 0;
  host.driver.during = async (step) => {
    if (step !== "restore" || unfit === 2) return;
    unfit += 1;
    if (unfit === 2) both.open();
    await both.opened;
    throw new PyroError("vmm_failed", "no such device");
  };
  const opened = await Promise.all([host.open(), host.open()]);
  assert.equal(host.driver.count("boot"), 2);
  await Promise.all(opened.map(async (machine) => await machine.close()));
});

for (const step of ["boot", "save"] as const) {
  test(`machines: a VMM that fails in ${step} is the error, no template is left, and the next start works`, async () => {
    await using host = await Host.start();
    failing(host, step, "vmm_failed", 1);
    await assert.rejects(host.open(), { code: "vmm_failed", message: `the VMM refused to ${step}` });
    assert.deepEqual(await host.templates(), []);
    await host.leavesNothing();
    await host.use(1);
  });
}

test("machines: two opened at once for a new kind make one template, also when one of their callers goes away", async () => {
  await using host = await Host.start();
  const caller = new AbortController();
  host.driver.during = (step) => (step === "save" ? caller.abort() : undefined);
  const [left, first, second] = await Promise.allSettled([
    host.open({ signal: caller.signal }),
    host.open(),
    host.open(),
  ]);
  assert.equal(left.status === "rejected" && PyroError.from(left.reason).code, "cancelled");
  assert.equal(host.driver.count("boot"), 1);
  assert.equal(host.driver.running.size, 2);
  for (const opened of [first, second]) {
    assert.ok(opened.status === "fulfilled");
    await opened.value.close();
  }
});

test("machines: a VMM that dies under an open machine settles `lost`, and its commands fail with that", async () => {
  await using host = await Host.start();
  const machine = await host.open();
  const started = gate();
  // Input that never comes: the command ends when the agent is gone.
  const stdin = (async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from("begun\n");
    await new Promise<never>(() => undefined);
  })();
  const { outcome } = run(machine, "exec cat", { stdin, onOutput: started.open });
  await started.opened;
  const [vmm] = host.driver.running;
  await vmm?.kill();
  const lost = await machine.lost;
  assert.equal(lost.code, "vmm_failed");
  assert.match(lost.message, /SIGKILL/);
  await assert.rejects(outcome, { code: "vmm_failed" });
  await assert.rejects(run(machine, "exit 0").outcome, { code: "vmm_failed" });
  await machine.close();
  await host.leavesNothing();
});

test("machines: the end of the server ends held, ready and starting machines, and no other is opened", async () => {
  await using host = await Host.start(1);
  await host.use(1);
  await host.ready(1);
  await host.open({ memoryMib: 2 });
  assert.deepEqual(host.machines.counts(), { held: 1, ready: 1 });
  const booting = gate();
  host.driver.during = (step) => (step === "boot" ? booting.open() : undefined);
  const starting = host.open({ memoryMib: 3 });
  const refused = assert.rejects(starting, { code: "cancelled" });
  await booting.opened;
  await host.machines.close();
  await refused;
  assert.deepEqual(host.machines.counts(), { held: 0, ready: 0 });
  await host.leavesNothing();
  await assert.rejects(host.open(), { code: "invalid_state" });
});

test("machines: one that the host has no memory for is refused before it is started, with what to do", async () => {
  await using host = await Host.start();
  const memoryMib = Math.ceil(totalmem() / 1024 ** 2);
  await assert.rejects(host.open({ memoryMib }), (failure: unknown) => {
    assert.ok(PyroError.is(failure) && failure.code === "resource_exhausted", String(failure));
    assert.match(`${failure.message} ${failure.remedy}`, new RegExp(`asks for ${memoryMib} .*--mem-mib`));
    return true;
  });
  assert.deepEqual(await host.templates(), []);
});

test("ready machines: the next start of the kind takes one, and has it for itself", async () => {
  await using host = await Host.start(1);
  await host.use(1);
  await host.ready(1);
  const [ready] = host.driver.running;
  const [first, second] = await Promise.all([host.open(), host.open()]);
  assert.equal(host.driver.count("restore"), 3);
  assert.ok(ready !== undefined && host.driver.running.has(ready));
  assert.notEqual(first.id, second.id);
  assert.equal((await run(first, "exit 0").outcome).exitCode, 0);
  await Promise.all([first.close(), second.close()]);
});

test("ready machines: there are never more than the limit, and the oldest of another kind gives way", async () => {
  await using host = await Host.start(2);
  const kept: (FakeMachine | undefined)[] = [];
  for (const memoryMib of [1, 2, 3]) {
    await host.use(memoryMib);
    await host.ready(Math.min(memoryMib, 2));
    // The newest restored that is still there.
    kept.push([...host.driver.running].at(-1));
  }
  await kept[0]?.exited;
  assert.deepEqual([...host.driver.running], kept.slice(1));
  const before = host.driver.count("restore");
  await Promise.all([host.open({ memoryMib: 2 }), host.open({ memoryMib: 3 })]);
  assert.equal(host.driver.count("restore"), before, "both were ready");
  await host.open({ memoryMib: 1 });
  assert.equal(host.driver.count("restore"), before + 1, "this one had given way");
});

test("ready machines: a second one of a kind that is kept is not made", async () => {
  await using host = await Host.start(2);
  const opened = await Promise.all([host.open(), host.open()]);
  await Promise.all(opened.map(async (machine) => await machine.close()));
  await host.ready(1);
  assert.equal(host.driver.count("restore"), 3);
});

/** A host that is making one ready, and waits with that in its restore until `go.open` is called. */
async function makingReady(host: Host): Promise<{ go: () => void }> {
  const machine = await host.open();
  const begun = gate();
  const go = gate();
  host.driver.during = async (step) => {
    if (step !== "restore") return;
    begun.open();
    await go.opened;
  };
  await machine.close();
  await begun.opened;
  return { go: go.open };
}

test("ready machines: one that is being made is taken when it is done", async () => {
  await using host = await Host.start(1);
  const { go } = await makingReady(host);
  const opening = host.open();
  go();
  const machine = await opening;
  assert.equal(host.driver.count("restore"), 2);
  assert.equal((await run(machine, "exit 0").outcome).exitCode, 0);
});

test("ready machines: a caller that goes away takes with it the one that it waited for", async () => {
  await using host = await Host.start(1);
  await makingReady(host);
  const caller = new AbortController();
  const opening = host.open({ signal: caller.signal, onPhase: () => setImmediate(() => caller.abort()) });
  await assert.rejects(opening, { code: "cancelled" });
  await host.leavesNothing();
});

test("ready machines: one that cannot be made is only a slower next start", async () => {
  await using host = await Host.start(1);
  const machine = await host.open();
  failing(host, "restore", "vmm_failed", 1);
  await machine.close();
  const next = await host.open();
  assert.equal((await run(next, "exit 0").outcome).exitCode, 0);
  assert.match(host.notices.join("\n"), /was not made: the VMM refused to restore/);
  assert.equal(host.driver.count("boot"), 1);
});

test("ready machines: one that died is not handed out, and leaves nothing", async () => {
  await using host = await Host.start(1);
  await host.use(1);
  for (const heard of [true, false]) {
    await host.ready(1);
    const [dead] = [...host.driver.running];
    assert.ok(dead !== undefined);
    const gone = dead.kill();
    if (heard) await host.ready(0);
    // The kernel has ended it before this process hears of that.
    else while (isAlive(dead.process));
    const machine = await host.open();
    assert.equal((await run(machine, "exit 0").outcome).exitCode, 0);
    await gone;
    assert.deepEqual(await host.directories(), [machine.id]);
    await machine.close();
  }
});
