/** Patches on the host's own machine: large ones, and ends in the middle of one. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { CliProcess } from "../support/cli-process.ts";
import { client, until } from "../support/guest-host.ts";
import { type CaseWorkspace, inWorkspace } from "../support/case-workspace.ts";
import { LOOK } from "../support/trees.ts";

const context = { pyro: client(), memory: {} };
const MIB = 1024 ** 2;
const START_DEADLINE_MS = 30_000;

const inOne = async (run: (workspace: CaseWorkspace) => Promise<void>): Promise<void> =>
  await inWorkspace(context, { name: "", run });

/** A patch that makes so many files of so many lines, each of which has 16 bytes. */
function making(files: number, lines: number, name = "made"): string {
  const text = "+fifteen letters\n".repeat(lines);
  const one = (index: number): string =>
    `--- /dev/null\n+++ b/${name}/${Math.floor(index / 100)}/${index}\n@@ -0,0 +1,${lines} @@\n${text}`;
  return Array.from({ length: files }, (_, index) => one(index)).join("");
}

test("patch: one of a hundred MiB goes in, and the server has no more of it than what is on its way", async () => {
  await inOne(async (workspace) => {
    const { pyro, id } = workspace;
    const directory = mkdtempSync(join(tmpdir(), "pyro-patch-"));
    try {
      const path = join(directory, "large.patch");
      const lines = (10 * MIB) / 16;
      writeFileSync(path, making(10, lines));
      const { pid } = await pyro.server.status();
      const status = (): string => readFileSync(`/proc/${pid ?? 0}/status`, "utf8");
      const most = (): number => Number(/VmHWM:\s+(\d+)/.exec(status())?.[1] ?? Number.NaN) / 1024;
      const before = most();
      const done = await pyro.workspace.patch.apply({ workspace: id, patch_path: path });
      assert.deepEqual([done.applied, done.file_count, done.files[9]?.lines_added], [true, 10, lines]);
      assert.ok(most() - before < 64, `${most()} MiB after, ${before} MiB before`);
      const shown = await workspace.sh("cat made/0/* | uniq; cat made/0/* | wc -c");
      assert.equal(shown, `fifteen letters\n${100 * MIB}\n`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

test("patch: a file keeps its mode, owner and extended attributes", async () => {
  await inOne(async (workspace) => {
    const { pyro, id } = workspace;
    const perl = async (script: string): Promise<string> => {
      const result = await pyro.workspace.exec({ workspace: id, command: ["perl", "-e", script] });
      assert.equal(result.exit_code, 0, result.stderr);
      return result.stdout;
    };
    await workspace.sh("echo a > file; chown 7:8 file; chmod 4751 file");
    await perl('my ($p, $n, $v) = qw(file user.note kept); syscall(188, $p, $n, $v, 4, 0) == 0 or die "setxattr: $!"');
    const change = "--- a/file\n+++ b/file\n@@ -1 +1 @@\n-a\n+b\n";
    const rename = "diff --git a/file b/moved/file\nsimilarity index 100%\nrename from file\nrename to moved/file\n";
    const done = await pyro.workspace.patch.apply({ workspace: id, patch: `${change}${rename}` });
    assert.deepEqual([done.applied, done.failures], [true, []]);
    assert.equal(
      await workspace.sh("stat -c '%a %u:%g' moved/file; cat moved/file; stat -c '%a %u' moved; ls -A"),
      "4751 7:8\nb\n755 1000\nmoved\n",
    );
    const read = 'my ($p, $n, $v) = ("moved/file", "user.note", " " x 9); print syscall(191, $p, $n, $v, 9), " $v"';
    assert.equal((await perl(read)).trim(), "4 kept");
  });
});

test("patch: a full volume refuses it, and has no part of it", async () => {
  await inOne(async (workspace) => {
    const { pyro, id } = workspace;
    await workspace.sh(`mkdir full; echo kept > file; i=0
      for size in 8G 1G 64M 8G 1G 64M; do while fallocate -l $size full/$size-$((i += 1)); do :; done; sync; done 2> /dev/null; true`);
    const look = async (): Promise<string> => await workspace.sh("ls -A . full; cat file");
    const before = await look();
    const change = "--- a/file\n+++ b/file\n@@ -1 +1 @@\n-kept\n+lost\n";
    const stdin = Readable.from([Buffer.from(change), Buffer.from(making(64, MIB / 8))]);
    await assert.rejects(pyro.workspace.patch.apply({ workspace: id }, { stdin }), { code: "resource_exhausted" });
    assert.equal(await look(), before);
  });
});

test("patch: a client that is killed while it sends leaves the tree as it was, whatever was sent", async () => {
  await inOne(async (workspace) => {
    await workspace.sh("echo kept > file");
    const before = await workspace.sh(LOOK);
    // Less than what is read ahead, and more.
    for (const files of [100, 4000]) {
      using cli = new CliProcess(["workspace", "patch", "apply", workspace.id]);
      const { stdin } = cli.child;
      if (stdin === null) throw new Error("no standard input");
      await new Promise((resolve) => stdin.write(making(files, 100), resolve));
      cli.signal("SIGKILL");
      await cli.end();
      // The agent hears of it when the server does.
      await until(
        async () => (await workspace.sh("ls -A")) === "file\n",
        START_DEADLINE_MS,
        "the staging place is gone",
      );
      assert.equal(await workspace.sh(LOOK), before);
    }
  });
});

test("patch: whenever the machine or the server is killed, the tree is the one before or the one after", async () => {
  await inOne(async (workspace) => {
    const { pyro, id } = workspace;
    await workspace.sh("mkdir old; for name in $(seq 200); do seq 20 > old/$name; done");
    const rename = Array.from(
      { length: 200 },
      (_, index) =>
        `diff --git a/old/${index + 1} b/new/${index + 1}\nsimilarity index 100%\nrename from old/${index + 1}\nrename to new/${index + 1}\n`,
    ).join("");
    const patch = `${rename}${making(300, 3)}`;
    const seen = new Set<string>();
    const look = async (): Promise<string> =>
      await workspace.sh(
        "ls; find old 2>/dev/null | wc -l; find new made -type f 2>/dev/null | wc -l; ls -A | grep -c pyro || true",
      );
    const before = await look();
    for (const [waits, what] of [
      [0, "machine"],
      [10, "machine"],
      [30, "server"],
      [60, "machine"],
      [10, "server"],
    ] as const) {
      const applying = pyro.workspace.patch.apply({ workspace: id, patch }).then(
        () => undefined,
        () => undefined,
      );
      // Each of them takes a moment, in which the patch gets on.
      for (let wait = 0; wait < waits; wait += 1) await pyro.workspace.status({ workspace: id });
      if (what === "machine") await workspace.killMachine();
      else process.kill((await pyro.server.status()).pid ?? assert.fail("there is no server"), "SIGKILL");
      await applying;
      const isStarted = async (): Promise<boolean> =>
        await pyro.workspace.start({ workspace: id }).then(
          () => true,
          () => false,
        );
      await until(isStarted, START_DEADLINE_MS, "the workspace is started again");
      // What the machine was doing when its server was killed it does to its end.
      await until(
        async () => (await workspace.sh("ls -A | grep -c pyro || true")) === "0\n",
        START_DEADLINE_MS,
        "it is over",
      );
      const found = await look();
      seen.add(found);
      if (found === before) continue;
      assert.equal(found, "made\nnew\n0\n500\n0\n");
      const back = await pyro.workspace.patch.apply({ workspace: id, patch, reverse: true });
      assert.deepEqual([back.failures, await look()], [[], before]);
    }
    assert.ok(seen.size <= 2, [...seen].join("\n"));
  });
});
