/** What a guest can do with vsock, which only Firecracker's machines have: nothing that anybody notices. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, renameSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { openGuestLink } from "../../src/guest/link.ts";
import type { StartedMachine } from "../../src/machine/start.ts";
import { API_SOCKET, VSOCK_SOCKET } from "../../src/vmm/firecracker/config.ts";
import { dialGuest } from "../../src/vmm/firecracker/vsock.ts";
import type { DriverCase } from "./driver-case.ts";
import { run } from "./driver-host.ts";
import { vmmBelow } from "./vmm-properties.ts";

const MIB = 1024 ** 2;
const DIAL_DEADLINE_MS = 30_000;
/** Far more than the VMM and this process have in use by themselves for a connection. */
const GROWTH_BYTES_MAX = 32 * MIB;

/** A port of ours in the guest's program; the agent's are 1024 to 1026. */
const FLOOD_PORT = 5000;

/** Dials the host (CID 2, AF_VSOCK 40: linux/vm_sockets.h, socket.h) on each port and counts who answers. */
const DIAL_OUT = `
use strict; use Socket qw(SOCK_STREAM); use Errno qw(ECONNRESET ECONNREFUSED);
my ($from, $to, %said) = (shift, shift);
for my $port ($from .. $to) {
  socket(my $s, 40, SOCK_STREAM, 0) or die "socket: $!";
  $said{connect($s, pack('S S L L x4', 40, 0, $port, 2)) ? 'connected' : $!{ECONNRESET} || $!{ECONNREFUSED} ? 'refused' : "$!"}++;
}
print join(' ', map { "$_ $said{$_}" } sort keys %said), "\\n";
`;

/** Listens, and sends for a second whatever the other side takes; prints how many bytes that were. */
const FLOOD = `
use strict; use Socket qw(SOCK_STREAM); use IO::Handle; use Errno;
socket(my $l, 40, SOCK_STREAM, 0) or die "socket: $!";
bind($l, pack('S S L L x4', 40, 0, ${FLOOD_PORT}, 0xffffffff)) or die "bind: $!";
listen($l, 1) or die "listen: $!";
accept(my $s, $l) or die "accept: $!";
my ($sent, $piece) = (0, "\\x00" x 65536);
$SIG{ALRM} = sub { print "$sent\\n"; STDOUT->flush; $SIG{ALRM} = sub { exit 0 }; alarm 10 };
alarm 1;
while (1) { my $n = syswrite($s, $piece); $sent += $n if defined $n; last if !defined $n && !$!{EINTR} }
`;

export const VSOCK_CASES: readonly DriverCase[] = [
  {
    name: "a guest that dials out over vsock reaches nobody, whatever lies in its socket directory",
    run: async (host) => {
      const machine = await host.start();
      const stranger = await listen(join(host.paths.runtime, "stranger.sock"));
      try {
        const directory = join(host.directoryOf(machine.id), "vmm");
        // Where Firecracker looks for who listens to a guest on port 52 (Firecracker, docs/vsock.md).
        symlinkSync(stranger.path, join(directory, `${VSOCK_SOCKET}_52`));
        const before = readdirSync(directory);
        const used = vmmUse(machine);
        const ranges = [
          [0, 31],
          // The agent's own are among them.
          [1016, 1031],
          [65_520, 65_535],
        ] as const;
        const said = await Promise.all(
          ranges.map(async ([from, to]) => await run(machine, ["perl", "-e", DIAL_OUT, String(from), String(to)])),
        );
        assert.deepEqual(
          said,
          ranges.map(([from, to]) => `refused ${to - from + 1}\n`),
        );
        assert.deepEqual(readdirSync(directory), before);
        assert.equal(stranger.connections, 0);
        const now = vmmUse(machine);
        assert.equal(now.descriptors, used.descriptors, "no connection of these is kept");
        assert.ok(now.rssBytes - used.rssBytes < GROWTH_BYTES_MAX);
        assert.equal(await run(machine, "echo lives"), "lives\n");
      } finally {
        await machine.scope.close();
        stranger.close();
      }
    },
  },
  {
    name: "a guest that floods a connection fills nobody's memory, and is not taken for an agent",
    run: async (host) => {
      const machine = await host.start();
      try {
        const [used, rssBytes] = [vmmUse(machine), process.memoryUsage().rss];
        let sent = "";
        const flood = machine.exec({
          argv: ["/usr/bin/perl", "-e", FLOOD],
          env: {},
          cwd: "/",
          user: "root",
          timeLimitMs: 60_000,
          stdin: undefined,
          onOutput: (_, data) => void (sent += Buffer.from(data).toString()),
        });
        const path = join(host.directoryOf(machine.id), "vmm", VSOCK_SOCKET);
        const stream = await dialGuest(path, FLOOD_PORT, DIAL_DEADLINE_MS);
        // Nobody reads yet, and the guest's other calls go on.
        assert.equal(await run(machine, "sleep 1.5; echo lives"), "lives\n");
        const bytes = Number(sent.trim());
        assert.ok(bytes > 0 && bytes < 8 * MIB, `the guest could send ${sent.trim()} bytes`);
        await assert.rejects(openGuestLink(stream, 1000), { code: "guest_unreachable" });
        assert.ok(stream.destroyed);
        assert.ok(vmmUse(machine).rssBytes - used.rssBytes < GROWTH_BYTES_MAX);
        assert.ok(process.memoryUsage().rss - rssBytes < 2 * GROWTH_BYTES_MAX);
        await flood.outcome;
        assert.equal(await run(machine, "echo lives"), "lives\n");
      } finally {
        await machine.scope.close();
      }
    },
  },
  {
    name: "a VMM that plants links in its directory leads its server to no other socket",
    run: async (host) => {
      const machine = await host.start();
      const stranger = await listen(join(host.paths.runtime, "stranger.sock"));
      try {
        const directory = join(host.directoryOf(machine.id), "vmm");
        for (const name of [VSOCK_SOCKET, API_SOCKET]) {
          renameSync(join(directory, name), join(directory, `${name}.real`));
          symlinkSync(stranger.path, join(directory, name));
        }
        await assert.rejects(machine.vmm.connect("bulk", DIAL_DEADLINE_MS), { code: "vmm_failed" });
        await assert.rejects(machine.vmm.growVolume(80 * 1024 * MIB), { code: "vmm_failed" });
        assert.equal(stranger.connections, 0);
      } finally {
        await machine.scope.close();
        stranger.close();
      }
    },
  },
];

/** Somebody else's socket, who counts who comes. */
async function listen(path: string): Promise<{ path: string; readonly connections: number; close: () => void }> {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen({ path, readableAll: true, writableAll: true }, resolve));
  return {
    path,
    get connections() {
      return connections;
    },
    close: () => server.close(),
  };
}

/** What a machine's VMM uses up now. */
function vmmUse({ vmm }: StartedMachine): { rssBytes: number; descriptors: number } {
  const pid = vmmBelow(vmm.process.pid);
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return { rssBytes: Number(kib) * 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}
