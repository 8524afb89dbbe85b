/** A Firecracker that does not do what it should: named within its deadline, and nothing is left. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { packageFile } from "../../src/host/package-files.ts";
import type { MachinePlan, VmmDriver } from "../../src/vmm/driver.ts";
import { firecrackerDriver } from "../../src/vmm/firecracker/driver.ts";
import { monitors } from "../support/driver-host.ts";

const root = mkdtempSync(join(tmpdir(), "pyro-fc-faults-"));
after(() => rmSync(root, { recursive: true }));
let count = 0;

function program(name: string, text: string): string {
  const path = join(root, name);
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

/** pyro's own, on a host that allows no namespaces: the programs below need the host's files. */
const LAUNCHER = program(
  "launcher",
  `#!/bin/bash
case " $* " in *" --namespaces "*) echo "no namespaces here" >&2; exit 71 ;; esac
exec ${packageFile("launcher").path} "$@"
`,
);

/** Listens as Firecracker does, and then does something else with each request. */
const listening = (act: string): string => `
use strict; use Socket; my @kept;
socket(my $l, AF_UNIX, SOCK_STREAM, 0) or die $!;
bind($l, pack_sockaddr_un("api.sock")) or die $!;
listen($l, 5) or die $!;
while (accept(my $c, $l)) { sysread($c, my $request, 65536); push @kept, $c; ${act} }
`;

interface Fault {
  readonly does: string;
  readonly message: RegExp;
  /** What is waited for in vain, for as long as SHORT_MS; all else has time. */
  readonly late?: "open" | "call";
}

const SHORT_MS = 300;
const LONG_MS = 20_000;

const FAULTS: Readonly<Record<string, Fault>> = {
  "never opens its API socket": {
    does: "sleep 60;",
    late: "open",
    message: /did not open its API socket within 300 ms/,
  },
  "opens it and never answers": {
    does: listening(""),
    late: "call",
    message: /did not answer PUT \S+ within 300 ms/,
  },
  "answers garbage": {
    does: listening('syswrite($c, "garbage\\r\\n\\r\\n");'),
    message: /no answer to PUT \S+ that is HTTP/,
  },
  "hangs in the middle of its answer": {
    does: listening('syswrite($c, "HTTP/1.1 200 OK\\r\\nContent-Len");'),
    late: "call",
    message: /did not answer PUT \S+ within 300 ms/,
  },
  "closes the connection": {
    does: listening("@kept = (); close($c);"),
    message: /no answer to PUT \S+ that is HTTP/,
  },
  "ends at the first request": {
    does: listening('print STDERR "2026-01-01T00:00:00.0 [x:main] out of order\\n"; exit 3;'),
    message: /ended with status 3/,
  },
  "refuses the first request": {
    does: listening(
      'syswrite($c, "HTTP/1.1 400 Bad Request\\r\\nContent-Length: 25\\r\\n\\r\\n{\\"fault_message\\":\\"never\\"}");',
    ),
    message: /refused PUT \S+/,
  },
  "puts a file where its socket should be": {
    does: 'open(my $f, ">", "api.sock"); sleep 60;',
    message: /is not a socket/,
  },
};

function driverFor({ does, late }: Fault): VmmDriver {
  return firecrackerDriver({
    binary: program(`firecracker-${(count += 1)}`, `#!/usr/bin/perl\n${does}\n`),
    version: "1.12.1",
    launcher: LAUNCHER,
    cpuIdentity: "cpu",
    hostKernel: "6.1",
    deadlines: {
      openMs: late === "open" ? SHORT_MS : LONG_MS,
      callMs: late === "call" ? SHORT_MS : LONG_MS,
      saveMs: LONG_MS,
    },
  });
}

function plan(): MachinePlan {
  const directory = join(root, `m${(count += 1)}`, "vmm");
  mkdirSync(directory, { recursive: true });
  const drive = (slot: "rootfs" | "seed" | "volume") => ({ slot, path: join(root, slot), readOnly: slot !== "volume" });
  return {
    shape: { vcpuCount: 1, memoryMib: 256 },
    kernelPath: join(root, "kernel"),
    initramfsPath: join(root, "initramfs"),
    agentParameters: [],
    drives: [drive("rootfs"), drive("seed"), drive("volume")],
    directory,
  };
}

for (const [name, fault] of Object.entries(FAULTS)) {
  test(`firecracker faults: one that ${name} is named, and nothing of it is left`, async () => {
    const driver = driverFor(fault);
    const template = { memoryPath: join(root, "memory"), statePath: join(root, "state") };
    for (const start of [
      async () => await driver.boot(plan(), {}),
      async () => await driver.restore(plan(), template),
    ]) {
      await assert.rejects(start(), (error: unknown) => {
        assert.ok(PyroError.is(error), String(error));
        assert.equal(error.code, "vmm_failed");
        assert.match(error.message, fault.message);
        return true;
      });
      assert.deepEqual(monitors(), []);
    }
  });
}
