/** What `pyro workspace diff` makes of an answer, without a guest. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openPatchFile } from "../../../src/cli/patch-file.ts";
import { changedNames, changedStat, diffNotes, diffSummaryLine } from "../../../src/cli/render/diff.ts";
import type { DiffEntry, DiffResult } from "../../../src/contract/diff-operations.ts";

const entry = (path: string, more: Partial<DiffEntry> = {}): DiffEntry => ({
  path,
  renamed: null,
  status: "modified",
  artifact_type: "file",
  patch: "text",
  mode_from: "0644",
  mode_to: "0644",
  size_from: 1,
  size_to: 20,
  lines_added: 3,
  lines_removed: 1,
  not_in_patch: [],
  ...more,
});

const RESULT: DiffResult = {
  workspace_id: "0123456789ab",
  from: "baseline",
  to: null,
  changed: true,
  summary: {
    total: 3,
    added: 0,
    modified: 3,
    deleted: 0,
    type_changed: 0,
    text_patched: 1,
    non_text: 2,
    renamed: 0,
    ignored: 4,
    not_in_patch: { owner: 1 },
  },
  git: { head_from: null, head_to: "f".repeat(40), commits: 2 },
  entries: [
    entry("a\u001b[31m\nb"),
    entry("image", { patch: "binary" }),
    entry("owned", { patch: "none", not_in_patch: ["owner"] }),
  ],
  entries_dropped: 7,
  patch: "",
  patch_dropped_bytes: 0,
};

test("diff: names are escaped in pyro's own lines", () => {
  assert.equal(changedNames(RESULT), "a\\x1b[31m\\nb\nimage\nowned\n");
  assert.equal(
    changedStat(RESULT),
    " a\\x1b[31m\\nb | +3 -1\n image        | binary, 1 -> 20 bytes\n owned        | owner\n",
  );
});

test("diff: the summary is the transcript's line, and what the patch has not is said", () => {
  assert.equal(
    diffSummaryLine(RESULT.workspace_id, RESULT.summary),
    "[workspace-diff] workspace_id=0123456789ab total=3 added=0 modified=3 deleted=0 type_changed=0 text_patched=1 non_text=2\n",
  );
  assert.deepEqual(diffNotes(RESULT, { binary: false }), [
    "[workspace-diff] not in the patch, for git has no words for it: owner (1)",
    "[workspace-diff] not in the patch: 1 binary or large, with --binary",
    "[workspace-diff] ignored by git: 4, with --include-ignored",
    "[workspace-diff] not listed: 7 more paths",
    `[workspace-diff] not in the patch: HEAD none -> ${"f".repeat(40)} commits=2`,
  ]);
  assert.equal(diffNotes(RESULT, { binary: true }).length, 4);
});

test("diff: a patch's file is there as a whole or not at all, and takes no other's place unasked", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pyro-patch-"));
  after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "patch");
  const dropped = await openPatchFile(path, { overwrite: false });
  dropped.stream.write("half");
  await dropped.discard();
  assert.deepEqual(readdirSync(directory), []);
  const whole = await openPatchFile(path, { overwrite: false });
  whole.stream.write("whole");
  await whole.publish();
  await whole.discard();
  assert.deepEqual([readdirSync(directory), readFileSync(path, "utf8")], [["patch"], "whole"]);
  await assert.rejects(openPatchFile(path, { overwrite: false }), { code: "already_exists" });
  const late = await openPatchFile(join(directory, "late"), { overwrite: false });
  writeFileSync(join(directory, "late"), "another's");
  await assert.rejects(late.publish(), { code: "already_exists" });
  await late.discard();
  assert.equal(readFileSync(join(directory, "late"), "utf8"), "another's");
  const other = await openPatchFile(path, { overwrite: true });
  other.stream.write("other");
  await other.publish();
  await other.discard();
  assert.equal(readFileSync(path, "utf8"), "other");
  symlinkSync("patch", join(directory, "link"));
  await assert.rejects(openPatchFile(join(directory, "link"), { overwrite: true }), { code: "invalid_argument" });
  assert.deepEqual(readdirSync(directory), ["late", "link", "patch"]);
});
