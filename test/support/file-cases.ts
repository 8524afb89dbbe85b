/** The table's part about files that come in and go out, whatever the VMM. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WorkspaceCase } from "./case-workspace.ts";
import { Collector } from "./guest-cases.ts";
import { halfPushed } from "./half-pushed.ts";
import { awkwardTree, LOOK, lookAt } from "./trees.ts";

/** Without owners, which are the host user's, and bits that only the owner's machine is to honour. */
const portable = (look: string): string =>
  look
    .split("\n")
    .map((line) => line.replace(/^(\S+(?: \\ \*)?) [0-7]*([0-7]{3}) \d+ \d+ /, "$1 $2 "))
    .toSorted()
    .join("\n");

export const FILE_CASES: readonly WorkspaceCase[] = [
  {
    name: "a tree that is pushed has every name, mode, link, time, hole and empty directory, and so has what is exported of it",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      const host = mkdtempSync(join(tmpdir(), "pyro-copy-"));
      try {
        const source = join(host, "source");
        mkdirSync(source);
        awkwardTree(source);
        const pushed = await pyro.workspace.sync.push({ workspace: id, source_path: source, dest: "in/here" });
        assert.equal(pushed.workspace_sync.destination, "/workspace/in/here");
        const inGuest = await workspace.sh(`cd in/here && ${LOOK}`);
        assert.equal(inGuest, lookAt(source));
        const output = join(host, "out");
        const exported = await pyro.workspace.export({ workspace: id, path: ["in/here"], output_path: output });
        assert.deepEqual([exported.artifact_type, exported.hard_link_count], ["directory", 1]);
        assert.equal(portable(lookAt(output)), portable(inGuest));
        const archive = new Collector();
        await pyro.workspace.export({ workspace: id, path: ["in/here"], tar: "-" }, { stdout: archive });
        writeFileSync(join(host, "archive.tar"), archive.bytes);
        await pyro.workspace.sync.push({ workspace: id, source_path: join(host, "archive.tar"), dest: "again" });
        assert.equal(
          await workspace.sh("diff -r --no-dereference in/here again/here && find again | wc -l"),
          await workspace.sh("find in | wc -l"),
        );
      } finally {
        rmSync(host, { recursive: true });
      }
    },
  },
  {
    name: "a push is whole or nothing: what stands in its way, a caller that goes away and a machine that ends leave the tree as it was",
    run: async (workspace) => {
      const { pyro, id, source } = workspace;
      await workspace.sh("mkdir -p a/dir; echo old > a/file; ln -s /etc link; echo mine > a/dir/mine");
      const look = async (): Promise<string> => await workspace.sh(LOOK);
      const before = await look();
      const push = { workspace: id, source_path: source };
      mkdirSync(join(source, "z"));
      for (const [name, make] of [
        ["dir", () => writeFileSync(join(source, "z", "dir"), "a file")],
        ["file", () => mkdirSync(join(source, "z", "file"))],
      ] as const) {
        make();
        await assert.rejects(pyro.workspace.sync.push({ ...push, source_path: join(source, "z"), dest: "a" }), {
          code: "invalid_state",
          message: new RegExp(`a/${name} is a `),
        });
        rmSync(join(source, "z", name), { recursive: true });
      }
      await assert.rejects(pyro.workspace.sync.push({ ...push, dest: "link/deeper" }), { code: "invalid_state" });
      await assert.rejects(pyro.workspace.sync.push({ ...push, dest: "../etc" }), { code: "invalid_argument" });
      const gone = new AbortController();
      const cancelled = await halfPushed(workspace, gone.signal);
      gone.abort();
      await assert.rejects(cancelled.pushing, { code: "cancelled" });
      await cancelled.forgotten();
      assert.equal(await look(), before);
      const killed = await halfPushed(workspace);
      await workspace.killMachine();
      await assert.rejects(killed.pushing);
      await pyro.workspace.start({ workspace: id });
      assert.equal(await look(), before);
      rmSync(join(source, "large"));
      const done = await pyro.workspace.sync.push(push);
      assert.equal(done.workspace_sync.entry_count, 2);
      assert.equal(await workspace.sh("cat first a/file a/dir/mine; ls -A"), "firstold\nmine\na\nfirst\nlink\nz\n");
    },
    seed: () => undefined,
  },
  {
    name: "an export never writes through a link nor over what is there, and gives a link as a link",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      const host = mkdtempSync(join(tmpdir(), "pyro-copy-"));
      try {
        await workspace.sh("echo text > file; chmod 4755 file; ln -s ../../etc/passwd link; mkdir -p d; mkfifo d/pipe");
        const target = join(host, "target");
        const output = { workspace: id, output_path: target };
        const link = await pyro.workspace.export({ ...output, path: ["link"] });
        assert.deepEqual([link.artifact_type, readlinkSync(target)], ["symlink", "../../etc/passwd"]);
        await assert.rejects(pyro.workspace.export({ ...output, path: ["file"] }), { code: "already_exists" });
        await assert.rejects(pyro.workspace.export({ ...output, path: ["link/x"], overwrite: true }), {
          code: "invalid_state",
        });
        await assert.rejects(pyro.workspace.export({ ...output, path: ["nowhere"], overwrite: true }), {
          code: "not_found",
        });
        assert.equal(readlinkSync(target), "../../etc/passwd");
        const file = await pyro.workspace.export({ ...output, path: ["file"], overwrite: true });
        assert.deepEqual([readFileSync(target, "utf8"), file.warnings.length], ["text\n", 1]);
        const both = await pyro.workspace.export({ ...output, path: ["file", "d"], overwrite: true });
        assert.deepEqual(readdirSync(target).toSorted(), ["d", "file"]);
        assert.match(both.warnings.join(), /left out 1 .*d\/pipe/);
        assert.deepEqual(readdirSync(host), ["target"]);
      } finally {
        rmSync(host, { recursive: true });
      }
    },
  },
  {
    name: "single files are listed, read in ranges, written, edited and searched",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      const { file } = pyro.workspace;
      const at = { workspace: id, path: "src/näme.txt" };
      const written = await file.write({ ...at, text: "one ä\ntwo\none\n" });
      assert.deepEqual([written.created, written.size], [true, 15]);
      await workspace.sh(
        "chmod 751 src/*; printf 'x\\0one' > binary; mkfifo pipe; printf x > \"$(printf 'a\\nb\\377')\"",
      );
      const part = await file.read({ ...at, max_bytes: 5 });
      assert.deepEqual([part.content, part.next_offset, part.size], ["one ", 4, 15]);
      assert.deepEqual((await file.read({ ...at, offset: 4 })).content, "ä\ntwo\none\n");
      await assert.rejects(file.edit({ ...at, old: "one", new: "1" }), { code: "invalid_state", message: /2 times/ });
      await assert.rejects(file.edit({ ...at, old: "three", new: "3" }), { code: "invalid_state", message: /not in/ });
      assert.equal((await file.edit({ ...at, old: "one", new: "1", all: true })).replaced_count, 2);
      assert.equal(await workspace.sh("cat src/*; stat -c %a src/*"), "1 ä\ntwo\n1\n751\n");
      for (const path of ["pipe", "src", "src/none"]) await assert.rejects(file.read({ workspace: id, path }));
      const first = await file.list({ workspace: id, recursive: true, limit: 2 });
      const rest = await file.list({ workspace: id, recursive: true, after: first.next ?? assert.fail() });
      const listed = [...first.entries, ...rest.entries].map(({ path, kind }) => `${kind} ${path}`);
      assert.deepEqual(listed, ["file a\nb\ufffd", "file binary", "other pipe", "directory src", "file src/näme.txt"]);
      assert.equal(Buffer.from(first.entries[0]?.path_base64 ?? "", "base64").toString("latin1"), "a\nb\xff");
      const found = await file.search({ workspace: id, pattern: "^1|one", after_context: 1 });
      assert.deepEqual(
        found.lines.map(({ line, text, context }) => [line, text, context]),
        [
          [1, "1 ä", false],
          [2, "two", true],
          [3, "1", false],
        ],
      );
      assert.equal(found.binary_files, 1);
      await assert.rejects(file.search({ workspace: id, pattern: "(" }), { code: "invalid_argument" });
    },
  },
];
