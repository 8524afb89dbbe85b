/** Workspaces on the host's own machine: the table's cases, and what only one machine needs to show. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PyroError } from "../../src/contract/error.ts";
import { packageFile } from "../../src/host/package-files.ts";
import { client, paths, until, vmmPids } from "../support/guest-host.ts";
import { inWorkspace } from "../support/case-workspace.ts";
import { WORKSPACE_TABLE } from "../support/workspace-table.ts";

const pyro = client();
const context = { pyro, memory: {} };
const MIB = 1024 ** 2;
/** A reset takes some 400 ms from the start of its machine on. */
const KILLS = 4;
const KILL_STEP_MS = 120;

for (const each of WORKSPACE_TABLE) {
  test(`workspace: ${each.name}`, async () => await inWorkspace(context, each));
}

test("workspace: the room of deleted files is the host's again when it stops", async () => {
  await inWorkspace(context, {
    name: "",
    run: async (it) => {
      const { id } = it;
      await it.sh("head -c 67108864 /dev/urandom > big");
      const full = (await pyro.workspace.stop({ workspace: id })).disk_bytes;
      await pyro.workspace.start({ workspace: id });
      await it.sh("rm big");
      const empty = (await pyro.workspace.stop({ workspace: id })).disk_bytes;
      assert.ok(full > 64 * MIB && empty < 8 * MIB, `${full} bytes with the file, ${empty} without`);
    },
  });
});

test("workspace: nested subvolumes of the user's go with the workspace at a reset", async () => {
  await inWorkspace(context, {
    name: "",
    run: async (it) => {
      // BTRFS_IOC_SUBVOL_CREATE, as `btrfs subvolume create` does it.
      const script = `
        my $args = pack("q a4088", 0, "inner");
        sysopen(my $here, ".", 0200000) or die;
        ioctl($here, 0x5000940e, $args) or die "ioctl: $!";
        open(my $file, ">", "inner/file") or die; mkdir "inner/deep" or die`;
      const made = await pyro.workspace.exec({ workspace: it.id, command: ["perl", "-e", script] });
      assert.equal(made.exit_code, 0, made.stderr);
      await pyro.workspace.reset({ workspace: it.id });
      assert.equal(await it.sh("ls -A"), "");
    },
  });
});

test("workspace: ten thousand files cost a snapshot as much as ten", async () => {
  await inWorkspace(context, {
    name: "",
    run: async (it) => {
      const snapshot = async (name: string): Promise<number> => {
        const start = performance.now();
        await pyro.workspace.snapshot.create({ workspace: it.id, snapshot: name });
        return performance.now() - start;
      };
      await it.sh("seq 10 | xargs touch");
      const [few, again] = [await snapshot("warm"), await snapshot("few")];
      await it.sh("mkdir many && cd many && seq 10000 | xargs touch && sync");
      const many = await snapshot("many");
      const { snapshots } = await pyro.workspace.snapshot.list({ workspace: it.id });
      const last = snapshots.at(-1);
      assert.deepEqual([last?.entry_count, last?.counted_all], [100, false]);
      // Ten thousand entries that were looked at would be seconds here.
      assert.ok(many < 10 * Math.max(few, again, 50), `${many} ms against ${few} and ${again} ms`);
    },
  });
});

test("workspace: a start waits for a volume that a VMM holds which is about to end", async () => {
  await inWorkspace(context, {
    name: "",
    run: async (it) => {
      await it.sh("echo kept > file");
      await pyro.workspace.stop({ workspace: it.id });
      const volume = join(paths.state, "workspaces", it.id, "volume.raw");
      const holder = spawn(packageFile("launcher").path, ["--lock", volume, "--keep-stdin", "--", "cat"]);
      holder.stdin.write("it holds\n");
      await once(holder.stdout, "data");
      const started = pyro.workspace.start({ workspace: it.id });
      started.catch(() => undefined);
      // One that waits has an arrow (proc_locks(5)).
      const waiting = new RegExp(`-> FLOCK .*:${statSync(volume).ino} `);
      await until(() => waiting.test(readFileSync("/proc/locks", "utf8")), 10_000, "the launcher waits for the lock");
      holder.stdin.end();
      await started;
      assert.equal(await it.sh("cat file"), "kept\n");
    },
  });
});

test("workspace: kill -9 of the VMM at any moment of a reset leaves the old tree or the snapshot's, whole", async () => {
  await inWorkspace(context, {
    name: "",
    run: async (it) => {
      const { id } = it;
      const tree = "find . -type f | sort | xargs cat | cksum";
      await it.sh("for i in $(seq 50); do echo old $i > $i; done");
      await pyro.workspace.snapshot.create({ workspace: id, snapshot: "one" });
      const kept = await it.sh(tree);
      let killed = 0;
      for (let round = 0; round < KILLS; round += 1) {
        await it.sh("rm -f 7 8 9; for i in $(seq 40); do echo new $i > new-$i; done; sync");
        const changed = await it.sh(tree);
        const before = new Set(vmmPids());
        const reset = pyro.workspace.reset({ workspace: id, snapshot: "one" });
        // From the new machine's start on, a little later each time.
        await until(() => vmmPids().some((pid) => !before.has(pid)), 10_000, "the new machine starts");
        const kill = setTimeout(() => {
          for (const pid of vmmPids().filter((each) => !before.has(each))) {
            process.kill(pid, "SIGKILL");
            killed += 1;
          }
        }, round * KILL_STEP_MS);
        // One that was killed early starts anew and is done; whatever it says, the tree below tells.
        await reset.catch((failure: unknown) => assert.ok(PyroError.is(failure), String(failure)));
        clearTimeout(kill);
        const { pending_reset: pending } = await pyro.workspace.status({ workspace: id });
        // A kill after the reset's end may not have been noticed yet: then the first look is refused, and starting is due again.
        const look = async (): Promise<string> => {
          await pyro.workspace.start({ workspace: id });
          return await it.sh(tree);
        };
        const found = await look().catch(async (failure: unknown) => {
          assert.ok(PyroError.is(failure) && failure.code === "invalid_state", String(failure));
          return await look();
        });
        // A reset that is pending is finished by the start; one that was not begun leaves all as it was.
        assert.ok(found === kept || (found === changed && pending === null), `round ${round}: ${found}`);
        await pyro.workspace.reset({ workspace: id, snapshot: "one" });
        assert.equal(await it.sh(tree), kept);
      }
      assert.ok(killed > 0, "no reset was met by a kill");
    },
  });
});
