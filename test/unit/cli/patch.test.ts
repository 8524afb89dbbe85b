/** What `pyro workspace patch apply` sends and prints, without a guest. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { patched } from "../../../src/cli/render/patch.ts";
import { PATCH_TEXT_BYTES_MAX } from "../../../src/contract/limits.ts";
import type { PatchResult } from "../../../src/contract/patch-operations.ts";
import { FakeHost } from "../../support/fake-host.ts";

const RESULT: PatchResult = {
  workspace_id: "0123456789ab",
  applies: true,
  applied: true,
  file_count: 2,
  files: [
    { path: "a\u001b[31m", from: null, status: "added", lines_added: 1, lines_removed: 0, moved_hunks: [] },
    {
      path: "new",
      from: "old\nname",
      status: "renamed",
      lines_added: 1,
      lines_removed: 0,
      moved_hunks: [{ hunk: 2, line: 7, offset: -3 }],
    },
  ],
  failure_count: 0,
  failures: [],
};

test("patch: names and lines are escaped in pyro's own lines, and offsets are said", () => {
  assert.equal(
    patched(RESULT),
    "[workspace-patch] workspace_id=0123456789ab applies=yes applied=yes file_count=2 failure_count=0\n" +
      "added a\\x1b[31m\nrenamed old\\nname -> new (hunk 2 at line 7, offset -3)\n",
  );
  const failure = {
    path: "a\u001b[31m",
    reason: "no_match" as const,
    hunk: 2,
    patch_line: 31,
    line: 14,
    expected: "one\u001b]0;x\u0007",
    found: "",
    message: "the line is another one",
  };
  assert.equal(
    patched({ ...RESULT, applies: false, applied: false, failure_count: 3, failures: [failure] }),
    "[workspace-patch] workspace_id=0123456789ab applies=no applied=no file_count=2 failure_count=3\n" +
      "a\\x1b[31m: hunk 2, line 14, line 31 of the patch: the line is another one\n" +
      "  expected: one\\x1b]0;x\\x07\n  found: \nand 2 more\n",
  );
});

test("patch: it comes from a file, a text or a stream, and from one of them", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  const { workspace_id: id } = await pyro.workspace.create({ environment: "debian:12" });
  const path = join(host.paths.state, "x.patch");
  writeFileSync(path, "of a file");
  const sent = async (): Promise<string> => (await pyro.workspace.file.read({ workspace: id, path: "patch" })).content;
  const { apply } = pyro.workspace.patch;
  await apply({ workspace: id, patch: "a text" });
  assert.equal(await sent(), "a text");
  await apply({ workspace: id, patch_path: path });
  assert.equal(await sent(), "of a file");
  const large = "x".repeat(3 * PATCH_TEXT_BYTES_MAX);
  await apply({ workspace: id }, { stdin: Readable.from([Buffer.from(large)]) });
  assert.equal((await pyro.workspace.file.list({ workspace: id })).entries[0]?.size, large.length);
  await apply({ workspace: id, patch: "checked", check: true });
  assert.equal((await pyro.workspace.file.list({ workspace: id })).entries[0]?.size, large.length);
  const invalid = { code: "invalid_argument" };
  await assert.rejects(apply({ workspace: id }), invalid);
  await assert.rejects(apply({ workspace: id, patch: "x", patch_path: path }), invalid);
  await assert.rejects(apply({ workspace: id, patch: "x" }, { stdin: Readable.from([]) }), invalid);
  await assert.rejects(apply({ workspace: id, patch: large }), invalid);
  await assert.rejects(apply({ workspace: id, patch_path: join(path, "none") }), { code: "not_found" });
  await assert.rejects(apply({ workspace: id, patch_path: host.paths.state }), { code: "not_found" });
});

test("patch: on the command line a workspace comes first, and without a file standard input is read", async () => {
  await using host = new FakeHost();
  await host.serve();
  using pyro = host.pyro();
  await pyro.workspace.create({ environment: "debian:12", name: "api" });
  const sent = async (): Promise<string> =>
    (await pyro.workspace.file.read({ workspace: "api", path: "patch" })).content;
  const path = join(host.paths.state, "x.patch");
  writeFileSync(path, "of a file");
  const env = { PYRO_WORKSPACE: "api" };
  const apply = ["ws", "patch", "apply"];
  for (const [words, options, expected] of [
    [["api"], { input: "one" }, "one"],
    [["api", "-"], { input: "two" }, "two"],
    [[], { input: "three", env }, "three"],
    [["api", path], { input: "not read" }, "of a file"],
    [["--patch", "a flag's", "api"], { input: "not read" }, "a flag's"],
  ] as const) {
    const { status, stdout } = await host.cli([...apply, ...words], options);
    assert.deepEqual([status, await sent()], [0, expected]);
    assert.match(stdout, /^\[workspace-patch\] workspace_id=\w+ applies=yes applied=yes/);
  }
  const json = await host.cli([...apply, "api", "--json", "--check", "-p", "0", "-R"], { input: "four" });
  assert.deepEqual([JSON.parse(json.stdout).applied, await sent()], [false, "a flag's"]);
  assert.equal((await host.cli([...apply, "api", join(path, "none")])).status, 125);
  assert.equal((await host.cli([...apply, "api", path, "-p", "65"])).status, 2);
});
