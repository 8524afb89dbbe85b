/** The table's part about patches that a workspace is changed by. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { EDITS, GIT_LOOK, seedForEdits } from "./diff-cases.ts";
import type { WorkspaceCase } from "./case-workspace.ts";
import { LOOK } from "./trees.ts";

const change = (name: string, from: string, to: string): string =>
  `--- a/${name}\n+++ b/${name}\n@@ -1 +1 @@\n-${from}\n+${to}\n`;

export const PATCH_CASES: readonly WorkspaceCase[] = [
  {
    name: "a workspace's own diff, taken back, gives what it began with, and applied again its tree",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      // No seed, which takes machines of its own.
      const host = mkdtempSync(join(tmpdir(), "pyro-patch-"));
      try {
        seedForEdits(host);
        await pyro.workspace.sync.push({ workspace: id, source_path: host });
      } finally {
        rmSync(host, { recursive: true });
      }
      await pyro.workspace.snapshot.create({ workspace: id, snapshot: "first" });
      const before = await workspace.sh(GIT_LOOK);
      await workspace.sh(EDITS);
      const edited = await workspace.sh(GIT_LOOK);
      const stdout = new PassThrough();
      const patch = buffer(stdout);
      await pyro.workspace.diff({ workspace: id, from: "first", binary: true }, { stdout });
      stdout.end();
      const text = await patch;
      const apply = async (more: object): Promise<void> => {
        const result = await pyro.workspace.patch.apply({ workspace: id, ...more }, { stdin: Readable.from([text]) });
        assert.deepEqual([result.failures, result.applies, result.applied], [[], true, true]);
      };
      await apply({ reverse: true });
      assert.equal(await workspace.sh(GIT_LOOK), before);
      await apply({});
      assert.equal(await workspace.sh(GIT_LOOK), edited);
    },
  },
  {
    name: "a patch that does not apply changes nothing and says all that is in its way, and one with an offset says that",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      const apply = async (patch: string, more: object = {}): ReturnType<typeof pyro.workspace.patch.apply> =>
        await pyro.workspace.patch.apply({ workspace: id, patch, ...more });
      const made = "diff --git a/made b/made\nnew file mode 100755\n--- /dev/null\n+++ b/made\n@@ -0,0 +1 @@\n+x\n";
      assert.equal((await apply(made, { check: true })).applied, false);
      assert.equal((await pyro.workspace.status({ workspace: id })).changed, false, "a check changes nothing");
      await workspace.sh(
        "mkdir dir; seq 9 > dir/a; echo b > b; chmod 640 b; chown 1000 b; ln -s /etc etc; mkfifo pipe",
      );
      const look = async (): Promise<string> => await workspace.sh(LOOK);
      const before = await look();
      const escape = '--- /dev/null\n+++ "b/\\033[31m\\377"\n@@ -0,0 +1 @@\n+x\n';
      const hunks = "--- a/dir/a\n+++ b/dir/a\n@@ -1,2 +1,2 @@\n-one\n+1!\n 2\n@@ -7,3 +7,3 @@\n 7\n-eight\n+8!\n 9\n";
      const refused = await apply(
        [change("b", "b", "c"), hunks, change("etc/passwd", "a", "b"), change("pipe", "a", "b"), escape, escape].join(
          "",
        ),
      );
      assert.deepEqual(
        refused.failures.map(({ path, reason, hunk, line, expected, found }) => [
          path,
          reason,
          hunk,
          line,
          expected,
          found,
        ]),
        [
          ["dir/a", "no_match", 1, 1, "one", "1"],
          ["dir/a", "no_match", 2, 8, "eight", "8"],
          ["etc/passwd", "path", null, null, null, null],
          ["pipe", "kind", null, null, null, null],
          ["\u001b[31m\ufffd", "overlap", null, null, null, null],
        ],
      );
      assert.equal(Buffer.from(refused.failures[4]?.path_base64 ?? "", "base64").toString("latin1"), "\u001b[31m\xff");
      assert.deepEqual([refused.applies, refused.applied, await look()], [false, false, before]);
      for (const bad of [
        "",
        "nothing\n",
        "--- a/b\n+++ b/b\n@@ -1,2 +1 @@\n-b\n",
        "--- a/b\n+++ b/b\n@@ -1 +1 @@\n-b\n+c",
      ])
        await assert.rejects(apply(bad), { code: "invalid_argument" });
      await assert.rejects(pyro.workspace.patch.apply({ workspace: id }), { code: "invalid_argument" });
      assert.equal(await look(), before);
      const moved = await apply(
        `${change("b", "b", "c")}${made}--- a/dir/a\n+++ b/dir/a\n@@ -5,3 +5,3 @@\n 7\n-8\n+8!\n 9\n`,
      );
      assert.deepEqual(moved.files[2]?.moved_hunks, [{ hunk: 1, line: 7, offset: 2 }]);
      assert.equal(
        await workspace.sh("cat b made; tail -n 2 dir/a; stat -c '%a %u' b made dir/a"),
        "c\nx\n8!\n9\n640 1000\n755 1000\n644 0\n",
      );
    },
  },
];
