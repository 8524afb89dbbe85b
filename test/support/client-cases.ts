/**
 * The table's other half: cases that need no machine of their own to be open, but the whole SDK. They run after those of
 * guest-cases.ts, because some of them stop the server.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, open, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PyroError } from "../../src/contract/error.ts";
import { templatesDirectory } from "../../src/host/paths.ts";
import type { Pyro } from "../../src/sdk/pyro.ts";
import { Collector } from "./guest-cases.ts";
import { machineDirectories, paths, until } from "./guest-host.ts";

const ENVIRONMENT = "debian:12";

/** What a case works with. */
export interface ClientCaseContext {
  readonly pyro: Pyro;
  /** Memory of the machines: `{}` for the environment's own. */
  readonly memory: { readonly mem_mib?: number };
}

export interface ClientCase {
  readonly name: string;
  readonly run: (context: ClientCaseContext) => Promise<void>;
}

async function echo({ pyro, memory }: ClientCaseContext): Promise<string> {
  return (await pyro.run({ environment: ENVIRONMENT, command: ["echo", "works"], ...memory })).stdout;
}

export const CLIENT_CASES: readonly ClientCase[] = [
  {
    name: "doctor says that a guest can run, and on what",
    run: async ({ pyro, memory }) => {
      const { capabilities, machine } = await pyro.doctor();
      assert.ok(capabilities.vm_boot && capabilities.guest_exec);
      const result = await pyro.run({ environment: ENVIRONMENT, command: ["true"], ...memory });
      assert.deepEqual(
        [machine?.isolation, machine?.execution_mode],
        [result.isolation, result.execution_mode],
        "the machine is the one that doctor named",
      );
    },
  },
  {
    name: "the environment is listed as installed",
    run: async ({ pyro }) => {
      const { environments } = await pyro.env.list();
      assert.equal(environments.find(({ name }) => name === ENVIRONMENT)?.installed, true);
    },
  },
  {
    name: "a run says how its command ended and leaves no machine",
    run: async ({ pyro, memory }) => {
      const result = await pyro.run({ environment: ENVIRONMENT, command: "echo out; echo err >&2; exit 3", ...memory });
      assert.deepEqual([result.exit_code, result.stdout, result.stderr], [3, "out\n", "err\n"]);
      assert.equal(result.cleanup.deleted, true);
      assert.ok(!machineDirectories().includes(result.vm_id));
    },
  },
  {
    name: "a VMM killed mid-command is named, with what it last said, and nothing is left",
    run: async (context) => {
      const machine = await context.pyro.machine({ environment: ENVIRONMENT, ...context.memory });
      const stdout = new Collector();
      const running = machine.exec("echo started; sleep 300", { stdout, timeout_seconds: 600 });
      await stdout.seen("started");
      const pid = (await machinePid(machine.id)) ?? assert.fail("the machine has no VMM");
      process.kill(pid, "SIGKILL");
      await assert.rejects(running, (error: unknown) => {
        assert.ok(PyroError.is(error), String(error));
        assert.equal(error.code, "vmm_failed");
        assert.match(error.message, /SIGKILL/);
        return true;
      });
      await until(() => !machineDirectories().includes(machine.id), 5000, "the machine's directory is removed");
      assert.equal(await echo(context), "works\n");
    },
  },
  {
    name: "a template with a cut memory file is made again, and the command runs once",
    run: async (context) => {
      await context.pyro.server.stop({ force: true });
      for (const memory of await templateFiles("memory")) await truncate(memory, 4096);
      assert.equal(await echo(context), "works\n");
    },
  },
  {
    name: "an altered device state is found before it is loaded",
    run: async (context) => {
      await context.pyro.server.stop({ force: true });
      for (const state of await templateFiles("state")) await flipByte(state, 1000);
      assert.equal(await echo(context), "works\n");
    },
  },
  {
    name: "an unreadable template record is made again",
    run: async (context) => {
      await context.pyro.server.stop({ force: true });
      for (const record of await templateFiles("template.json")) await writeFile(record, "{");
      assert.equal(await echo(context), "works\n");
    },
  },
];

/** Pid of a machine's VMM, by its record. */
export async function machinePid(id: string): Promise<number | undefined> {
  const record = await readFile(join(paths.runtime, "m", id, "machine.json"), "utf8");
  return (JSON.parse(record) as { process?: { pid: number } }).process?.pid;
}

async function templateFiles(name: string): Promise<string[]> {
  const directory = templatesDirectory(paths);
  const templates = (await readdir(directory)).filter((entry) => !entry.startsWith("."));
  assert.ok(templates.length > 0, "there is a template to damage");
  return templates.map((template) => join(directory, template, name)).filter((path) => existsSync(path));
}

/** Changes one byte of a file, whatever its mode. */
export async function flipByte(path: string, position: number): Promise<void> {
  const { mode } = await stat(path);
  await chmod(path, 0o600);
  await writeByte(path, position, (await readByte(path, position)) ^ 0xff);
  await chmod(path, mode & 0o777);
}

export async function readByte(path: string, position: number): Promise<number> {
  const file = await open(path, "r");
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, position);
  await file.close();
  return buffer[0] ?? 0;
}

export async function writeByte(path: string, position: number, value: number): Promise<void> {
  const file = await open(path, "r+");
  await file.write(Buffer.of(value), 0, 1, position);
  await file.close();
}
