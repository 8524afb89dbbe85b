/** One real machine by the machine layer itself: its VMM's confinement, and links that are lost and opened again. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { after, before, test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { followCommand, type OutputOffsets } from "../../src/guest/exec.ts";
import { openGuestLink } from "../../src/guest/link.ts";
import { hostMachineSources } from "../../src/machine/host-sources.ts";
import { ensureEmptySeed } from "../../src/machine/machine-directory.ts";
import { ensureTemplate, type StartContext, type StartedMachine, startFromTemplate } from "../../src/machine/start.ts";
import { startScript } from "../support/guest-command.ts";
import { newClient, paths } from "../support/guest-host.ts";
import { vmmBelow } from "../support/vmm-properties.ts";

const DEADLINE_MS = 30_000;
let machine: StartedMachine;

before(async () => {
  // Only one writes to the cache at a time.
  const pyro = newClient();
  await pyro.server.stop({ force: true });
  pyro.close();
  const sources = hostMachineSources({ paths, env: process.env, onNotice: () => undefined });
  const { signal } = new AbortController();
  const environment = await sources.environment("debian:12", { force: false, signal, onProgress: () => undefined });
  const shape = { vcpuCount: 2, memoryMib: 256 };
  const kind = { environment, shape, ...(await sources.vmm("any")) };
  const context: StartContext = { paths, signal, onNotice: () => undefined };
  await ensureEmptySeed(paths);
  machine = await startFromTemplate(kind, await ensureTemplate(kind, context, () => undefined), context);
});
after(async () => await machine.scope.close());

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : Number(a > b));

test("confinement: the VMM and its monitor hold no stream of the server's, and no environment", () => {
  const { pid } = machine.vmm.process;
  const streams = [0, 1, 2].map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  assert.equal(streams[0], "/dev/null");
  assert.match(streams[1] ?? "", /vmm\.log$/);
  assert.equal(streams[2], streams[1]);
  const vmm = vmmBelow(pid);
  assert.ok(readdirSync(`/proc/${vmm}/task`).length > 1, "the VMM, with its threads");
  assert.match(readlinkSync(`/proc/${vmm}/fd/1`), /^pipe:/, "a pipe of the monitor's");
  for (const process of [pid, vmm]) assert.equal(readFileSync(`/proc/${process}/environ`, "utf8"), "");
});

test("confinement: a guest with two vCPUs keeps the host's time by the time stamp counter", async () => {
  // `tsc-early` until the kernel has looked at the counter for a second: the same counter.
  assert.match((await machine.link.agent.describe({})).clocksource, /^tsc(-early)?$/);
  const turns = "for i in 1 2 3 4 5 6 7 8; do taskset -c 0 date +%s%N; taskset -c 1 date +%s%N; sleep 0.2; done";
  await startScript(machine.link.agent, "clock", turns);
  let said = "";
  const heardMs: number[] = [];
  await followCommand(machine.link.agent, "clock", {
    onOutput: (_, data) => {
      said += Buffer.from(data).toString();
      heardMs.push(performance.now());
    },
  });
  const times = said.trim().split("\n").map(BigInt);
  assert.equal(times.length, 16);
  assert.deepEqual(times, times.toSorted(ascending), "no vCPU is behind the other");
  const guestMs = Number((times.at(-1) ?? 0n) - (times[0] ?? 0n)) / 1e6;
  const hostMs = (heardMs.at(-1) ?? 0) - (heardMs[0] ?? 0);
  assert.ok(hostMs > 1400 && Math.abs(guestMs - hostMs) < 0.2 * hostMs, `${guestMs} ms, on the host ${hostMs} ms`);
});

test("confinement: a command goes on when its link is lost, and the next link on that channel loses nothing", async () => {
  const id = "survivor";
  await startScript(machine.link.agent, id, "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 5");
  const from: OutputOffsets = { stdout: 0n, stderr: 0n };
  const hash = createHash("sha256");
  for (let round = 0; ; round += 1) {
    assert.ok(round < 4, "the last link is not cut");
    const link = await openGuestLink(await machine.vmm.connect("bulk", DEADLINE_MS), DEADLINE_MS);
    try {
      const exit = await followCommand(link.agent, id, {
        from,
        onOutput: (stream, data) => {
          hash.update(data);
          from[stream] += BigInt(data.length);
          if (round < 2) link.close();
        },
      });
      assert.deepEqual(exit.outcome, { case: "code", value: 5 });
      break;
    } catch (failure) {
      assert.ok(PyroError.is(failure) && failure.code === "guest_unreachable", String(failure));
    } finally {
      link.close();
    }
  }
  const expected = Array.from({ length: 20_000 }, (_, index) => `line ${index}\n`).join("");
  assert.equal(hash.digest("hex"), createHash("sha256").update(expected).digest("hex"));
  assert.ok((await machine.link.agent.describe({})).configured, "the other channel never noticed");
});
