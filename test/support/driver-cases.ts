/**
 * The table's third part: what must hold of every driver below the SDK. `test/guest` runs it on this host, `test/nested` on
 * every driver that needs a KVM that works.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { MachineName } from "../../src/contract/run.ts";
import { PyroError } from "../../src/contract/error.ts";
import { packageFile } from "../../src/host/package-files.ts";
import { identifyProcess, isAlive } from "../../src/host/process-identity.ts";
import type { Template } from "../../src/machine/template.ts";
import { logOf } from "../../src/vmm/vmm-process.ts";
import { DRIVE_CASES } from "./drive-cases.ts";
import type { DriverCase } from "./driver-case.ts";
import { type DriverHost, run } from "./driver-host.ts";
import { until } from "./guest-host.ts";
import { VMM_DEATH_CASES } from "./vmm-death-cases.ts";
import { alterable, inspect, onlyVolume } from "./vmm-inspection.ts";
import { violations, vmmBelow } from "./vmm-properties.ts";
import { VSOCK_CASES } from "./vsock-cases.ts";

const MIB = 1024 ** 2;

const DRIVER_CASES: readonly DriverCase[] = [
  ...VMM_DEATH_CASES,
  {
    name: "the VMM has all eight properties, and can alter nothing but its volume",
    run: async (host) => {
      const machine = await host.start();
      try {
        const found = inspect(host.directoryOf(machine.id), host.paths.cache, host.devices);
        assert.deepEqual(violations(found), new Map());
        onlyVolume(alterable(found, [process.execPath, "/etc/passwd"]), found.writable);
        assert.equal(await run(machine, "echo lives"), "lives\n");
      } finally {
        await machine.scope.close();
      }
    },
  },
  {
    name: "a guest that floods its console fills neither the host's memory nor its disk",
    run: async (host) => {
      const machine = await host.start();
      try {
        const rssBytes = process.memoryUsage().rss;
        await run(machine, "timeout 3 cat /dev/zero > /dev/ttyS0; true");
        assert.ok(process.memoryUsage().rss - rssBytes < 64 * MIB);
        assert.ok(Buffer.byteLength(machine.vmm.consoleTail()) <= 64 * 1024);
        const log = logOf(join(host.directoryOf(machine.id), "vmm"));
        assert.ok(statSync(log).size <= 256 * 1024, `${statSync(log).size} bytes`);
        assert.equal(await run(machine, "echo lives"), "lives\n");
      } finally {
        await machine.scope.close();
      }
    },
  },
  {
    name: "a host without memory for a restore says so, and the template stays",
    run: async (host) => {
      const { id } = await host.template();
      const saidBefore = host.notices.length;
      const launcher = tightLauncher(host);
      await assert.rejects(host.startBy(launcher), (error: unknown) => {
        assert.ok(PyroError.is(error), String(error));
        assert.equal(error.code, "resource_exhausted", JSON.stringify(error.evidence));
        assert.match(error.remedy ?? "", /memory/);
        return true;
      });
      assert.deepEqual(host.leftovers(), []);
      host.forgetTemplate();
      assert.equal((await host.template()).id, id);
      assert.deepEqual(host.notices.slice(saidBefore), []);
      const next = await host.start();
      assert.equal(await run(next, "echo works"), "works\n");
      await next.scope.close();
    },
  },
  {
    name: "what a crash left is ended and removed by the next server, in whatever state it was",
    run: async (host) => {
      const states: readonly ((machine: string, vmm: number) => void)[] = [
        // The server alone was killed.
        () => undefined,
        // The VMM as well.
        (_, vmm) => process.kill(vmm, "SIGKILL"),
        // The server was killed before it had written down whose VMM it is.
        (machine) => {
          const path = join(machine, "machine.json");
          const { process: _, ...record } = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
          writeFileSync(path, JSON.stringify(record));
        },
        (machine) => writeFileSync(join(machine, "machine.json"), "{"),
      ];
      const left = [];
      for (const spoil of states) {
        const machine = await host.start();
        const vmm = vmmBelow(machine.vmm.process.pid);
        const processes = [machine.vmm.process, identifyProcess(vmm) ?? assert.fail("no VMM")];
        spoil(host.directoryOf(machine.id), vmm);
        left.push({ machine, processes });
      }
      const machines = await host.machines();
      for (const { machine, processes } of left) {
        // The kernel ends a VMM with its monitor, which nobody hears of.
        await until(() => !processes.some(isAlive), 5000, "VMM and monitor are gone");
        assert.equal(existsSync(host.directoryOf(machine.id)), false);
        await machine.scope.close();
      }
      await machines.close();
      assert.deepEqual(host.leftovers(), []);
    },
  },
  {
    name: "a template that the VMM itself refuses is made again, which is said once",
    run: async (host) => {
      spoilState(await host.template());
      const saidBefore = host.notices.length;
      const machines = await host.machines();
      const phases: string[] = [];
      for (let times = 0; times < 2; times += 1) {
        const machine = await machines.open({
          environment: host.kind.environment.name,
          vcpuCount: host.kind.shape.vcpuCount,
          memoryMib: host.kind.shape.memoryMib,
          machine: undefined,
          requireIsolation: "any",
          signal: new AbortController().signal,
          onPull: ({ phase }) => void phases.push(phase),
          onPhase: () => undefined,
        });
        assert.equal(await run(machine, "echo works"), "works\n");
        await machine.close();
      }
      await machines.close();
      const said = host.notices.slice(saidBefore);
      assert.equal(said.length, 2, said.join("\n"));
      assert.match(said[0] ?? "", /did not start from its template/);
      assert.match(said[1] ?? "", /made again: it did not start/);
      assert.deepEqual(phases, ["template"]);
      host.forgetTemplate();
      assert.deepEqual(host.leftovers(), []);
    },
  },
  ...DRIVE_CASES,
];

/** One that needs a program of its own: it becomes another user. */
export const PLAIN_USER_TEST = "a plain user's VMM has all eight properties, and can alter nothing but its volume";

/** All cases of one machine. */
export function driverCases(machine: MachineName): readonly DriverCase[] {
  return machine === "firecracker" ? [...DRIVER_CASES, ...VSOCK_CASES] : DRIVER_CASES;
}

/** A launcher that gives a VMM less address space than its guest has memory, and is pyro's in everything else. */
function tightLauncher(host: DriverHost): string {
  const path = join(host.paths.cache, "tight-launcher");
  const { path: real } = packageFile("launcher");
  const limit = host.kind.shape.memoryMib * MIB - MIB;
  // Where it is asked to show itself, as when confinement is tried, it shows the real one.
  const script = `#!/bin/bash
words=("\${@//$0/${real}}")
exec ${real} "\${words[@]/#as=*/as=${limit}}"
`;
  writeFileSync(path, script);
  chmodSync(path, 0o755);
  return path;
}

/** Alters a device state so that only who loads it can tell: its beginning, since QEMU has no checksum of it. */
function spoilState({ statePath }: Template): void {
  const state = readFileSync(statePath);
  state.fill(0xa5, 0, 64);
  chmodSync(statePath, 0o600);
  writeFileSync(statePath, state);
  const path = join(dirname(statePath), "template.json");
  const record = JSON.parse(readFileSync(path, "utf8")) as { state: { sha256: string } };
  record.state.sha256 = createHash("sha256").update(state).digest("hex");
  writeFileSync(path, JSON.stringify(record));
}
