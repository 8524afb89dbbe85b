/**
 * The table's third part: what must hold of every driver below the SDK. `test/guest` runs it on this host, `test/nested` on
 * every driver that needs a KVM that works.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { link as linkFile, open, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { MachineName } from "../../src/contract/run.ts";
import { PyroError } from "../../src/contract/error.ts";
import { packageFile } from "../../src/host/package-files.ts";
import { identifyProcess, isAlive } from "../../src/host/process-identity.ts";
import { runProgram } from "../../src/host/process.ts";
import { emptySeedPath } from "../../src/machine/bootable.ts";
import type { StartedMachine } from "../../src/machine/start.ts";
import type { Template } from "../../src/machine/template.ts";
import { logOf } from "../../src/vmm/vmm-process.ts";
import { type DriverHost, monitors, run } from "./driver-host.ts";
import { until } from "./guest-host.ts";
import { alterable, inspect, onlyVolume } from "./vmm-inspection.ts";
import { violations, vmmBelow } from "./vmm-properties.ts";
import { VmmSteps } from "./vmm-steps.ts";
import { VSOCK_CASES } from "./vsock-cases.ts";

export interface DriverCase {
  readonly name: string;
  readonly run: (host: DriverHost) => Promise<void>;
}

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const SECTOR_BYTES = 512;
const PROGRAM_DEADLINE_MS = 60_000;

const DRIVER_CASES: readonly DriverCase[] = [
  {
    name: "a VMM killed at any step is a typed error that leaves nothing, and the next start works",
    run: async (host) => {
      using steps = new VmmSteps();
      const template = await host.template();
      const making = steps.take();
      const restored = await host.start();
      const starting = steps.take();
      await restored.vmm.growVolume(80 * GIB);
      const growing = steps.take();
      // A restored machine is saved by the same steps as one that was booted for seconds. It need not come to the end.
      await saveTo(host, restored).catch(() => undefined);
      const saving = steps.take();
      assert.ok(starting.length > 0 && growing.length > 0 && saving.length > 1, "there are steps to be killed at");
      assert.deepEqual(making.slice(-saving.length), saving);
      await restored.scope.close();

      for (const [index, step] of making.slice(0, -saving.length).entries()) {
        // What a restore asks for as well need not wait for a boot.
        if (!starting.includes(step)) await killedAt(steps, index, async () => await host.template(template));
      }
      for (const index of starting.keys()) await killedAt(steps, index, async () => await host.start());
      for (const [list, work] of [
        [growing, async (victim: StartedMachine) => await victim.vmm.growVolume(80 * GIB)],
        [saving, async (victim: StartedMachine) => await saveTo(host, victim)],
      ] as const) {
        for (const index of list.keys()) {
          const victim = await host.start();
          await killedAt(steps, index, async () => await work(victim));
          await victim.scope.close();
        }
      }
      assert.deepEqual(host.leftovers(), []);
      const next = await host.start();
      assert.equal(await run(next, "echo works"), "works\n");
      await next.scope.close();
    },
  },
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
    name: "another seed and another volume lie under a restored machine",
    run: async (host) => {
      const directory = mkdtempSync(join(host.paths.cache, "seeds-"));
      // Two at once, from one template that was saved with empty ones.
      await Promise.all(
        ["one", "two"].map(async (name) => {
          const seed = await makeSeed(host, directory, name);
          const machine = await host.startOn(seed.path, async (volume) => {
            await writeAt(volume, 0, `${name} first`);
            await writeAt(volume, 64 * GIB - SECTOR_BYTES, `${name} last`);
          });
          try {
            const said = await run(machine, READ_DRIVES);
            const sectors = (64 * GIB) / SECTOR_BYTES;
            assert.deepEqual(said.trim().split("\n"), [
              `seed ${name}`,
              ...[`seed ${sectors}`, `volume ${sectors}`],
              ...[`${name} first`, `${name} last`, `seed is read-only`],
            ]);
            const volume = join(host.directoryOf(machine.id), "volume.raw");
            assert.equal((await readAt(volume, MIB, 4)).toString(), "kept", "what the guest flushed is in the file");
            assert.deepEqual(await readAt(seed.path, 0, seed.image.length), seed.image);
          } finally {
            await machine.scope.close();
          }
        }),
      );
    },
  },
  {
    name: "two machines never have one volume",
    run: async (host) => {
      const seed = emptySeedPath(host.paths.cache);
      const machine = await host.startOn(seed, async () => await Promise.resolve());
      try {
        const taken = join(host.directoryOf(machine.id), "volume.raw");
        const another = host.startOn(seed, async (path) => {
          await rm(path);
          await linkFile(taken, path);
        });
        await assert.rejects(another, { code: "invalid_state" });
        assert.equal(await run(machine, "echo works"), "works\n");
      } finally {
        await machine.scope.close();
      }
    },
  },
  {
    name: "a volume grows under a running machine, and never shrinks",
    run: async (host) => {
      const machine = await host.start();
      try {
        const sizeBytes = 80 * GIB;
        await machine.vmm.growVolume(sizeBytes);
        // The guest is told by an interrupt; what it has of the size by then is its kernel's own business.
        const seen = `until grep -qx ${sizeBytes / SECTOR_BYTES} /sys/block/vd*/size; do sleep 0.02; done; echo seen`;
        assert.equal(await run(machine, seen), "seen\n");
        await assert.rejects(machine.vmm.growVolume(sizeBytes - 1), { code: "invalid_argument" });
        await assert.rejects(machine.vmm.growVolume(2 * 1024 ** 4), { code: "invalid_argument" });
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
];

/** One that needs a program of its own: it becomes another user. */
export const PLAIN_USER_TEST = "a plain user's VMM has all eight properties, and can alter nothing but its volume";

/** All cases of one machine. */
export function driverCases(machine: MachineName): readonly DriverCase[] {
  return machine === "firecracker" ? [...DRIVER_CASES, ...VSOCK_CASES] : DRIVER_CASES;
}

/** Saves a machine to files that nobody needs. */
async function saveTo(host: DriverHost, { link, vmm }: StartedMachine): Promise<void> {
  // A connection does not live across a save.
  link.close();
  const directory = mkdtempSync(join(host.paths.cache, "saved-"));
  await vmm.save({ memoryPath: join(directory, "memory"), statePath: join(directory, "state") });
}

/** Kills the VMM with SIGKILL at the nth step of `work`, which must fail of that and leave nothing. */
async function killedAt(steps: VmmSteps, index: number, work: () => Promise<unknown>): Promise<void> {
  let killed: string | undefined;
  let count = 0;
  steps.onStep = (step) => {
    count += 1;
    if (count !== index + 1) return;
    killed = step;
    const [monitor] = monitors().slice(-1);
    process.kill(vmmBelow(monitor ?? assert.fail("no VMM runs")), "SIGKILL");
  };
  try {
    await assert.rejects(work(), (error: unknown) => {
      assert.ok(PyroError.is(error), String(error));
      assert.equal(error.code, "vmm_failed", `${killed}: ${error.message}`);
      assert.match(error.message, /SIGKILL/, `killed at ${killed}`);
      assert.ok(error.remedy);
      return true;
    });
  } finally {
    steps.onStep = () => undefined;
    steps.take();
  }
  assert.ok(killed !== undefined, `there was no step ${index}`);
}

/** Prints what the drives hold and how large they are, writes to the volume, and tries to write to the seed. */
const READ_DRIVES = `set -e
# QEMU gives drives serials; Firecracker has them in the order of the slots.
drive() {
  for device in /sys/block/vd*; do
    if [ "$(cat $device/serial 2>/dev/null)" = "pyro-$1" ]; then echo \${device##*/}; return; fi
  done
  echo $2
}
seed=$(drive seed vdb); volume=$(drive volume vdc)
# mount(2): a minimal Debian has no program for it. Numbers of x86_64; read-only is 1 (linux/mount.h).
perl -e 'my ($on, $at, $as) = @ARGV; syscall(165, $on, $at, $as, 1, 0) == 0 or die "mount: $!\\n"' /dev/$seed /mnt squashfs
cat /mnt/name
echo "seed $(cat /sys/block/$seed/size)"; echo "volume $(cat /sys/block/$volume/size)"
text() { dd if=/dev/$volume bs=512 skip=$1 count=1 status=none | tr -d '\\0'; echo; }
text 0; text $(($(cat /sys/block/$volume/size) - 1))
printf kept | dd of=/dev/$volume bs=1M seek=1 conv=notrunc,fsync status=none
dd if=/dev/zero of=/dev/$seed count=1 conv=fsync status=none 2>/dev/null || echo "seed is read-only"
`;

/** An image with one file, padded to the slot's size. */
async function makeSeed(host: DriverHost, directory: string, name: string): Promise<{ path: string; image: Buffer }> {
  const content = join(directory, name);
  mkdirSync(content);
  writeFileSync(join(content, "name"), `seed ${name}\n`);
  const path = join(directory, `${name}.raw`);
  const { code, stderr } = await runProgram("mksquashfs", [content, path, "-quiet", "-no-progress"], {
    deadlineMs: PROGRAM_DEADLINE_MS,
  });
  assert.equal(code, 0, stderr);
  const image = readFileSync(path);
  truncateSync(path, statSync(emptySeedPath(host.paths.cache)).size);
  return { path, image };
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

async function writeAt(path: string, position: number, text: string): Promise<void> {
  const file = await open(path, "r+");
  await file.write(text, position);
  await file.close();
}

async function readAt(path: string, position: number, bytes: number): Promise<Buffer> {
  const file = await open(path, "r");
  const { buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, position);
  await file.close();
  return buffer;
}
