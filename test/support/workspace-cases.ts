/** The table's part about what a workspace keeps, whatever the VMM. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PyroError } from "../../src/contract/error.ts";
import type { Pyro } from "../../src/sdk/pyro.ts";
import type { WorkspaceCase } from "./case-workspace.ts";
import { machinePid } from "./client-cases.ts";
import { Collector } from "./guest-cases.ts";
import { paths, until } from "./guest-host.ts";
import { awkwardTree, LOOK, lookAt } from "./trees.ts";

/** How long a machine is left without a server, and how long a case may wait for that. */
const ALONE_SECONDS = 2;
const DEADLINE_MS = 10_000;

const MIB = 1024 ** 2;

async function killServer(pyro: Pyro): Promise<void> {
  const { pid } = await pyro.server.status();
  process.kill(pid ?? assert.fail("there is no server"), "SIGKILL");
  await until(async () => (await pyro.server.status()).pid !== pid, 5000, "the server has ended");
}

export const WORKSPACE_CASES: readonly WorkspaceCase[] = [
  {
    name: "a workspace is empty, and its user's and root's to write to",
    run: async (workspace) => {
      assert.equal(await workspace.sh("pwd; ls -A; stat -c '%u %a' ."), "/workspace\n1000 755\n");
      await workspace.sh("touch of-root");
      assert.equal(await workspace.sh("touch mine; id -u; cd; pwd", { user: "1000" }), "1000\n/home/dev\n");
    },
  },
  {
    name: "what commands wrote is there after stop and start, in / too, and what they ran is not",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      await workspace.sh(
        "mkdir -p a/b; echo kept > a/b/file; ln -s ../a/b a/link; echo root > /root/file; setsid sleep 999 &",
      );
      const stopped = await pyro.workspace.stop({ workspace: id });
      assert.deepEqual([stopped.state, stopped.stopped?.reason, stopped.changed], ["stopped", "asked", true]);
      await assert.rejects(workspace.sh("true"), (error: unknown) => {
        assert.ok(PyroError.is(error) && error.code === "invalid_state", String(error));
        return true;
      });
      await pyro.workspace.start({ workspace: id });
      assert.equal(await workspace.sh("cat a/link/file /root/file; readlink a/link"), "kept\nroot\n../a/b\n");
      assert.equal(await workspace.sh("cat /proc/[0-9]*/comm | grep -c sleep || true"), "0\n");
    },
  },
  {
    name: "reset brings exactly the snapshot's tree back, in a new machine with the image's /",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      await workspace.sh("mkdir dir; echo one > file; chmod 751 dir; touch -d @1.5 file; echo x > /etc/mark");
      const look = "find . -printf '%p %m %u %T@ %s\\n' | sort";
      const before = await workspace.sh(look);
      const { snapshot } = await pyro.workspace.snapshot.create({ workspace: id, snapshot: "one" });
      assert.deepEqual([snapshot.entry_count, snapshot.bytes_written, snapshot.counted_all], [2, 4, true]);
      await workspace.sh("rm -r dir file; mkdir file; touch new");
      const first = await pyro.workspace.status({ workspace: id });
      const reset = await pyro.workspace.reset({ workspace: id, snapshot: "one" });
      assert.notEqual(reset.vm_id, first.vm_id);
      assert.deepEqual([reset.command_count, reset.reset_count, reset.state], [0, 1, "started"]);
      assert.equal(await workspace.sh(look), before);
      assert.equal(await workspace.sh("test -e /etc/mark || echo gone"), "gone\n");
      await pyro.workspace.reset({ workspace: id });
      assert.equal(await workspace.sh("ls -A"), "");
      assert.equal((await pyro.workspace.status({ workspace: id })).changed, false);
      await pyro.workspace.snapshot.delete({ workspace: id, snapshot: "one" });
      await assert.rejects(pyro.workspace.reset({ workspace: id, snapshot: "one" }), { code: "not_found" });
    },
  },
  {
    name: "status says what each snapshot pins, which is what comes back with it",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      const pinned = async (): Promise<(number | null)[]> => {
        const { snapshot_pins: pins } = await pyro.workspace.status({ workspace: id });
        return pins.snapshots.map(({ bytes_pinned: bytes }) => bytes && Math.round(bytes / MIB));
      };
      await workspace.sh("for name in one two both copied; do head -c 8M /dev/urandom > $name; done; sync");
      await pyro.workspace.snapshot.create({ workspace: id, snapshot: "first" });
      assert.deepEqual(await pinned(), [0]);
      await workspace.sh("rm one; cp --reflink=always copied copy; rm copied; sync");
      assert.deepEqual(await pinned(), [8]);
      await pyro.workspace.snapshot.create({ workspace: id, snapshot: "second" });
      await workspace.sh("rm both; head -c 8M /dev/urandom > two; sync");
      // What both hold neither frees alone.
      assert.deepEqual(await pinned(), [8, 0]);
      await pyro.workspace.stop({ workspace: id });
      assert.deepEqual(await pinned(), [8, 0]);
      await pyro.workspace.start({ workspace: id });
      const used = async (): Promise<number> => Number(await workspace.sh("df -B1M --output=used . | tail -n 1"));
      const before = await used();
      await pyro.workspace.snapshot.delete({ workspace: id, snapshot: "first" });
      assert.deepEqual(await pinned(), [16]);
      await until(async () => before - (await used()) === 8, DEADLINE_MS, "what it pinned is free");
    },
  },
  {
    name: "a volume grows while it is used and while it is not, and never shrinks",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      const room = async (): Promise<number> => Number(await workspace.sh("df -B1G --output=size . | tail -n 1"));
      const before = await room();
      await workspace.sh("echo kept > file");
      const grown = await pyro.workspace.update({ workspace: id, volume_gib: 80 });
      assert.deepEqual([grown.volume_bytes, await room()], [80 * 1024 * MIB, before + 16]);
      await assert.rejects(pyro.workspace.update({ workspace: id, volume_gib: 79 }), { code: "invalid_argument" });
      await pyro.workspace.stop({ workspace: id });
      await assert.rejects(pyro.workspace.update({ workspace: id, volume_gib: 79 }), { code: "invalid_argument" });
      await pyro.workspace.update({ workspace: id, volume_gib: 100 });
      await pyro.workspace.start({ workspace: id });
      assert.equal(await room(), before + 36);
      assert.equal(await workspace.sh("fallocate -l 90G large && cat file"), "kept\n");
      await pyro.workspace.reset({ workspace: id });
      assert.equal(await room(), before + 36);
    },
  },
  {
    name: "what finished commands wrote survives kill -9 of the VMM",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      await workspace.sh("seq 100000 > numbers; echo root > /root/file");
      await workspace.written();
      const stdout = new Collector();
      const running = pyro.workspace.exec(
        { workspace: id, command: "echo started; sleep 300", timeout_seconds: 1200 },
        { stdout },
      );
      await stdout.seen("started");
      const { vm_id: vmId } = await pyro.workspace.status({ workspace: id });
      process.kill((await machinePid(vmId ?? "")) ?? assert.fail("the machine has no VMM"), "SIGKILL");
      await assert.rejects(running, { code: "vmm_failed" });
      const isStopped = async (): Promise<boolean> =>
        (await pyro.workspace.status({ workspace: id })).stopped?.reason === "vmm_failed";
      await until(isStopped, 5000, "the status says what happened");
      await pyro.workspace.start({ workspace: id });
      assert.equal(await workspace.sh("tail -n 1 numbers; cat /root/file"), "100000\nroot\n");
    },
  },
  {
    name: "what finished commands wrote survives kill -9 of the server",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      await workspace.sh("seq 100000 > numbers");
      await workspace.written();
      await pyro.workspace.snapshot.create({ workspace: id, snapshot: "one" });
      const before = await pyro.workspace.status({ workspace: id });
      await killServer(pyro);
      const found = await pyro.workspace.status({ workspace: id });
      assert.deepEqual([found.state, found.stopped, found.vm_id], ["started", null, before.vm_id]);
      assert.equal(await workspace.sh("tail -n 1 numbers"), "100000\n");
      const { snapshots } = await pyro.workspace.snapshot.list({ workspace: id });
      assert.deepEqual(
        snapshots.map(({ snapshot_name: name }) => name),
        ["baseline", "one"],
      );
      await pyro.workspace.reset({ workspace: id, snapshot: "one" });
    },
  },
  {
    name: "a machine goes on without its server, and the next one takes it over and ends what nobody waits for",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      const stdout = new Collector();
      const command = "trap '' HUP TERM; echo begun; while sleep 0.1; do date +%s >> ticks; done";
      const running = pyro.workspace.exec({ workspace: id, command, timeout_seconds: 1200 }, { stdout });
      running.catch(() => undefined);
      await stdout.seen("begun");
      const detached =
        "setsid sleep 995 & echo first; sleep 1; echo second; until test -e end; do sleep 0.1; done; exit 3";
      const { exec_id: execId } = await pyro.workspace.command.start({ workspace: id, command: detached });
      const over = await pyro.workspace.command.start({ workspace: id, command: "echo over; exit 4" });
      await pyro.workspace.command.attach({ workspace: id, exec_id: over.exec_id });
      const { vm_id: vmId } = await pyro.workspace.status({ workspace: id });
      await killServer(pyro);
      await assert.rejects(running, { code: "server_unavailable" });
      // Nobody starts a server meanwhile.
      const killedAt = Math.ceil(Date.now() / 1000);
      await until(() => Date.now() / 1000 > killedAt + ALONE_SECONDS, DEADLINE_MS, "a while has passed");
      const found = await pyro.workspace.status({ workspace: id });
      assert.deepEqual([found.state, found.vm_id, found.running_commands], ["started", vmId, 1]);
      const last = Number(await workspace.sh("tail -n 1 ticks; sleep 0.5"));
      assert.ok(last > killedAt, `the command went on until ${last}, its server was killed at ${killedAt}`);
      const count = await workspace.sh("wc -l < ticks");
      assert.equal(await workspace.sh("sleep 0.5; wc -l < ticks"), count, "the command was ended");
      const { entries } = await pyro.workspace.logs({ workspace: id });
      const [orphan, next] = [1, 4].map((number) => entries.find(({ sequence }) => sequence === number));
      await workspace.sh("touch end");
      const kept = await pyro.workspace.command.attach({ workspace: id, exec_id: execId });
      assert.deepEqual([kept.exit_code, kept.stdout], [3, "first\nsecond\n"]);
      const ended = await pyro.workspace.command.attach({ workspace: id, exec_id: over.exec_id });
      assert.deepEqual([ended.exit_code, ended.stdout], [4, "over\n"]);
      const left = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 99[5]' || true";
      const isGone = async (): Promise<boolean> => (await workspace.sh(left)) === "0\n";
      await until(isGone, DEADLINE_MS, "what the detached command left behind is gone");
      assert.equal(entries.filter(({ sequence }) => sequence === 3).length, 1, "its end is logged once");
      assert.deepEqual([orphan?.exit_code, orphan?.stdout], [137, "begun\n"]);
      assert.match(orphan?.interrupted ?? "", /its server was killed/);
      assert.equal(orphan?.sequence, 1);
      assert.deepEqual([next?.sequence, next?.interrupted], [4, undefined]);
    },
  },
  {
    name: "a full volume says so to commands, and can be reset and deleted",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      await workspace.sh("echo kept > file");
      await pyro.workspace.snapshot.create({ workspace: id, snapshot: "one" });
      // Reserved and not written: that fills the volume and not the host's disk.
      const full =
        "i=0; for size in 8G 1G 64M 8G 1G 64M 4M 1M 4M 1M; do while fallocate -l $size $size-$i; do i=$((i + 1)); done; sync; done 2> /dev/null";
      await workspace.sh(full);
      const refused = await pyro.workspace.exec({ workspace: id, command: "head -c 64M /dev/zero > more" });
      assert.match(refused.stderr, /No space left on device/);
      await pyro.workspace.stop({ workspace: id });
      await pyro.workspace.start({ workspace: id });
      assert.equal(await workspace.sh("cat file"), "kept\n");
      await pyro.workspace.reset({ workspace: id, snapshot: "one" });
      assert.equal(await workspace.sh("cat file; ls -A; head -c 1M /dev/urandom > more"), "kept\nfile\n");
      await workspace.sh(full);
      // What every case ends with is its deletion.
    },
  },
  {
    name: "a detached command goes on without its caller, keeps its last output, and ends with its workspace",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      const start = async (command: string, timeout?: number): Promise<string> => {
        const limit = timeout === undefined ? {} : { timeout_seconds: timeout };
        return (await pyro.workspace.command.start({ workspace: id, command, ...limit })).exec_id;
      };
      const attach = async (exec_id: string) => await pyro.workspace.command.attach({ workspace: id, exec_id });
      const numbers = Array.from({ length: 400_000 }, (_, index) => `${index + 1}\n`).join("");
      const flood = await start("seq 400000; echo end >&2; sleep 998 & exit 3");
      // A reader from the beginning may miss some in the middle, one that comes after its end has the last bytes.
      const live = await attach(flood);
      assert.deepEqual([live.exit_code, live.stderr, live.state], [3, "end\n", "exited"]);
      assert.equal(live.stdout.length + live.stdout_dropped_bytes, numbers.length);
      const late = await attach(flood);
      assert.ok(late.stdout_dropped_bytes > 0 && late.stdout.length > 256 * 1024, "the last bytes are kept");
      assert.ok(numbers.slice(late.stdout_dropped_bytes) === late.stdout, "and are the last ones");
      const timed = await attach(await start("echo before; sleep 997", 1));
      assert.deepEqual([timed.timed_out, timed.exit_code, timed.stdout], [true, 124, "before\n"]);
      const killed = await start("setsid sleep 996 & echo said; wait");
      const isSaid = async (): Promise<boolean> =>
        (await pyro.workspace.command.attach({ workspace: id, exec_id: killed, so_far: true })).stdout === "said\n";
      await until(isSaid, 10_000, "it has said something");
      await pyro.workspace.command.kill({ workspace: id, exec_id: killed, signal: "KILL" });
      assert.equal((await attach(killed)).exit_code, 137);
      const left = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 99[6-8]' || true";
      await until(async () => (await workspace.sh(left)) === "0\n", 10_000, "nothing is left of those that ended");
      await start("echo working; sleep 999");
      assert.equal((await pyro.workspace.status({ workspace: id })).running_commands, 1);
      await pyro.workspace.stop({ workspace: id });
      const { entries } = await pyro.workspace.logs({ workspace: id });
      assert.deepEqual(
        entries.filter(({ command }) => !command.startsWith("cat")).map((each) => [each.exit_code, each.interrupted]),
        [
          [3, undefined],
          [124, undefined],
          [137, undefined],
          [143, "the workspace was stopped"],
        ],
      );
      await pyro.workspace.start({ workspace: id });
      assert.deepEqual((await pyro.workspace.command.list({ workspace: id })).commands, []);
    },
  },
  {
    name: "git works for root and for the workspace's user, whoever made the repository",
    run: async (workspace) => {
      const commit = "git -c user.name=a -c user.email=a@example.com commit --quiet --allow-empty --message";
      await workspace.sh(`git init --quiet . && ${commit} one`, { user: "1000" });
      await workspace.sh(`${commit} two`);
      await workspace.sh("git init --quiet other");
      assert.equal(
        await workspace.sh("git -C other status --short; git log --format=%s", { user: "1000" }),
        "two\none\n",
      );
    },
  },
  {
    name: "a workspace begins with exactly what the directory has, and goes back to it",
    seed: awkwardTree,
    run: async (workspace) => {
      const { pyro, id, source } = workspace;
      const wanted = lookAt(source);
      assert.equal(await workspace.sh(LOOK), wanted);
      const { workspace_seed: seed, changed } = await pyro.workspace.status({ workspace: id });
      assert.deepEqual([seed.mode, seed.seed_path, seed.entry_count, changed], ["directory", source, 15, false]);
      await workspace.sh("rm -r live 'new\nline'* && echo more >> hard && chmod 777 script && mkdir baseline/next");
      const { disk_bytes: bytes } = await pyro.workspace.stop({ workspace: id });
      assert.ok(bytes < 4 * 1024 ** 2, `${bytes} bytes for what changed`);
      await pyro.workspace.start({ workspace: id });
      assert.notEqual(await workspace.sh(LOOK), wanted);
      await pyro.workspace.reset({ workspace: id });
      assert.equal(await workspace.sh(LOOK), wanted);
    },
  },
  {
    name: "a workspace goes from machine to machine with its files, and takes another one where its own is gone",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      await workspace.sh("echo 0 > count");
      await pyro.workspace.snapshot.create({ workspace: id, snapshot: "one" });
      // Those that need a KVM that works: each host has all of them, or none but the one that emulates.
      for (const [index, wanted] of (["firecracker", "qemu-kvm"] as const).entries()) {
        await pyro.server.stop({ force: true });
        const path = join(paths.state, "workspaces", id, "workspace.json");
        const record = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
        writeFileSync(path, JSON.stringify({ ...record, machine: wanted }));
        const { kvm } = await pyro.doctor();
        const started = await pyro.workspace.start({ workspace: id });
        assert.equal(started.machine, kvm.usable ? wanted : "qemu-tcg");
        assert.equal(await workspace.sh("cat count; echo $(($(cat count) + 1)) > count"), `${index}\n`);
      }
      await pyro.workspace.reset({ workspace: id, snapshot: "one" });
      assert.equal(await workspace.sh("cat count"), "0\n");
    },
  },
  {
    name: "a deleted workspace has its files when it is restored",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      await workspace.sh("echo kept > file");
      await workspace.written();
      await assert.rejects(pyro.workspace.delete({ workspace: id }), { code: "invalid_state" });
      await pyro.workspace.delete({ workspace: id, force: true });
      await assert.rejects(pyro.workspace.status({ workspace: id }), { code: "not_found" });
      await pyro.workspace.restore({ workspace: id });
      await pyro.workspace.start({ workspace: id });
      assert.equal(await workspace.sh("cat file"), "kept\n");
    },
  },
];
