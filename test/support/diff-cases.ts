/** The table's part about what a workspace has become: the patch, applied to what it began with, gives its tree. */
import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { DiffEvent, DiffResult } from "../../src/contract/diff-operations.ts";
import type { CaseWorkspace, WorkspaceCase } from "./case-workspace.ts";

/** What git has of a tree: names, contents, links, and whether a file may be executed. */
export const GIT_LOOK = `{ find . -path ./.git -prune -o -type l -printf '%p %l\\n'
  find . -path ./.git -prune -o -type f -perm -100 -printf 'x %p\\n'
  find . -path ./.git -prune -o -type f -exec sha256sum {} + ; } | LC_ALL=C sort`;

/** Twenty ways in which ordinary tools change a tree. */
export const EDITS = `
  echo more >> text; sed -i 2d middle/text; printf 'no newline' > added; : > empty; rm gone; chmod +x text2
  mv moved middle/renamed; mv tree away; ln -s text link; ln -sfn elsewhere old-link; rm becomes-link; ln -s x becomes-link
  rm becomes-directory; mkdir becomes-directory; echo inner > becomes-directory/inner
  rm -r becomes-file; echo file > becomes-file; head -c 5000 /dev/urandom > bytes; printf 'a\\0b' > binary; truncate -s 0 emptied
  printf 'x\\r\\n' > crlf; echo odd > "$(printf 'new\\nline')"; echo raw > "$(printf 'raw\\377')"; echo q > 'quote"\\'
  seq 1 400 | sed 's/^7$/seven/; s/^300$/&\\nmore/' > long; echo made > made-and-gone; rm made-and-gone; touch text3`;

/** What is edited. */
export function seedForEdits(directory: string): void {
  const at = (...names: string[]): string => join(directory, ...names);
  for (const name of ["middle", "tree/deep/er", "becomes-file"]) mkdirSync(at(name), { recursive: true });
  for (const name of ["text", "text2", "text3", "middle/text", "gone", "moved", "becomes-link", "becomes-directory"])
    writeFileSync(at(name), `first of ${name}\nsecond\nthird\n`);
  for (const name of ["tree/deep/er/file", "becomes-file/inner", "emptied"]) writeFileSync(at(name), `${name}\n`);
  writeFileSync(at("binary"), Buffer.from([0, 1, 2]));
  writeFileSync(at("long"), Array.from({ length: 400 }, (_, line) => `${line + 1}\n`).join(""));
  symlinkSync("text", at("old-link"));
}

/** The diff, with its patch as a stream of bytes. */
async function patchOf(
  { pyro, id }: CaseWorkspace,
  more: object = {},
): Promise<{ patch: Buffer; result: DiffResult; events: DiffEvent[] }> {
  const stdout = new PassThrough();
  const patch = buffer(stdout);
  const events: DiffEvent[] = [];
  const onEvent = (event: DiffEvent): void => void events.push(event);
  const result = await pyro.workspace.diff({ workspace: id, binary: true, ...more }, { stdout, onEvent });
  stdout.end();
  return { patch: await patch, result, events };
}

/** A copy of what the workspace began with, outside of it and of any repository. */
const COPY = "/tmp/copy";

/** By the guest's git: a host of the table need not have one. */
async function apply({ pyro, id }: CaseWorkspace, patch: Buffer, ...more: string[]): Promise<void> {
  const command = ["git", "apply", "--whitespace=nowarn", ...more];
  const result = await pyro.workspace.exec({ workspace: id, command, cwd: COPY }, { stdin: Readable.from([patch]) });
  assert.equal(result.exit_code, 0, result.stderr);
}

export const DIFF_CASES: readonly WorkspaceCase[] = [
  {
    name: "a diff, applied by git to what the workspace began with, gives its tree, and its reverse the beginning",
    seed: seedForEdits,
    run: async (workspace) => {
      await workspace.sh(`cp -a . ${COPY}`);
      const lookAtCopy = async (): Promise<string> => await workspace.sh(`cd ${COPY} && ${GIT_LOOK}`);
      const before = await lookAtCopy();
      await workspace.sh(EDITS);
      const { patch, result, events } = await patchOf(workspace);
      await apply(workspace, patch);
      assert.equal(await lookAtCopy(), await workspace.sh(GIT_LOOK));
      await apply(workspace, patch, "-R");
      assert.equal(await lookAtCopy(), before);
      const { summary, entries } = result;
      assert.deepEqual(events, [{ type: "summary", workspace_id: workspace.id, summary }]);
      assert.equal(summary.total, entries.length);
      assert.deepEqual([summary.type_changed, summary.renamed], [3, 2]);
      assert.ok(!entries.some(({ path }) => path === "text3"), "what was only touched has not changed");
      const raw = entries.find(({ path_base64: exact }) => exact !== undefined);
      assert.equal(Buffer.from(raw?.path_base64 ?? "", "base64").toString("latin1"), "raw\u00ff");
    },
  },
  {
    name: "any two snapshots are compared, also after a reset, and a diff leaves nothing behind",
    seed: seedForEdits,
    run: async (workspace) => {
      const { pyro, id } = workspace;
      const changed = async (from: string, to?: string): Promise<string[]> => {
        const range = { from, ...(to === undefined ? {} : { to }) };
        const { entries } = await pyro.workspace.diff({ workspace: id, name_only: true, ...range });
        return entries.map(({ status, path }) => `${status} ${path}`);
      };
      await workspace.sh("echo one > one; rm gone; mkdir new; echo x > new/x");
      await pyro.workspace.snapshot.create({ workspace: id, snapshot: "first" });
      await workspace.sh("echo two > one; mv tree new/tree; rm new/x");
      await pyro.workspace.snapshot.create({ workspace: id, snapshot: "second" });
      assert.deepEqual(await changed("first", "second"), [
        "added new/tree/deep/er/file",
        "deleted new/x",
        "modified one",
        "deleted tree/deep/er/file",
      ]);
      assert.deepEqual(await changed("second"), []);
      await pyro.workspace.reset({ workspace: id, snapshot: "first" });
      await workspace.sh("echo three > one; echo y > new/y");
      assert.deepEqual(await changed("first"), ["added new/y", "modified one"]);
      assert.deepEqual(await changed("second", "first"), [
        "deleted new/tree/deep/er/file",
        "added new/x",
        "modified one",
        "added tree/deep/er/file",
      ]);
      assert.deepEqual(await changed("baseline"), ["deleted gone", "added new/x", "added new/y", "added one"]);
      await assert.rejects(changed("none"), { code: "not_found" });
      await pyro.workspace.stop({ workspace: id });
      await assert.rejects(changed("baseline"), { code: "invalid_state" });
    },
  },
  {
    name: "a change at the end of a path that no call of Linux takes is in the diff",
    run: async (workspace) => {
      const { pyro, id } = workspace;
      const at = (script: string): string => `perl -e 'for (1..1500) { mkdir "deep"; chdir "deep" } ${script}'`;
      await workspace.sh(at('open F, ">", "leaf"; print F "one\n"'));
      await pyro.workspace.snapshot.create({ workspace: id, snapshot: "before" });
      await workspace.sh(at('open F, ">>", "leaf"; print F "two\n"'));
      const { entries, patch } = await pyro.workspace.diff({ workspace: id, from: "before" });
      assert.deepEqual(
        entries.map(({ path, lines_added: added }) => [path.length, added]),
        [["deep/".length * 1500 + "leaf".length, 1]],
      );
      assert.match(patch, /^\+two$/m);
    },
  },
];
