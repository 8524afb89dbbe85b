/** From a workspace's repository to one on the host, with the git of a real guest. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CaseWorkspace } from "../support/case-workspace.ts";
import { client, paths } from "../support/guest-host.ts";

const pyro = client();
const root = mkdtempSync(join(tmpdir(), "pyro-pull-"));
after(() => rmSync(root, { recursive: true }));

const git = (directory: string, ...words: string[]): string =>
  execFileSync("git", ["-C", directory, "-c", "user.name=a", "-c", "user.email=a@b", ...words], {
    encoding: "utf8",
  }).trim();

test("pull: commits and what is not committed come out as a branch; the two repositories stay as they are", async () => {
  const host = join(root, "host");
  git(root, "init", "--quiet", "--initial-branch=main", host);
  writeFileSync(join(host, "file"), "one\n");
  writeFileSync(join(host, ".gitignore"), "ignored\n");
  git(host, "add", ".");
  git(host, "commit", "--quiet", "-m", "first");
  const made = await pyro.workspace.create({ environment: "debian:12", seed_path: host });
  const workspace = new CaseWorkspace(pyro, made.workspace_id, host);
  const pull = async (branch: string, more: object = {}): ReturnType<typeof pyro.workspace.pull> =>
    await pyro.workspace.pull({ workspace: workspace.id, repository: host, branch, ...more });
  try {
    assert.deepEqual(
      (({ change, new_commits, made_commit }) => ({ change, new_commits, made_commit }))(await pull("same")),
      { change: "created", new_commits: 0, made_commit: false },
    );
    await workspace.sh(`
      git config user.name agent; git config user.email agent@guest
      echo two > file; git commit --quiet -am second
      echo three > file; echo new > 'a new file'; echo x > ignored; git add 'a new file'; chmod +x file
      printf '#!/bin/sh\\ntouch /tmp/guest-hook\\n' > .git/hooks/reference-transaction; chmod +x .git/hooks/reference-transaction`);
    const state = "git status --porcelain; git for-each-ref; git rev-parse HEAD";
    const before = await workspace.sh(state);
    const first = await pull("agent/work", { message: "What it did\n\nAll of it." });
    assert.deepEqual([first.change, first.new_commits, first.made_commit], ["created", 2, true]);
    assert.equal(await workspace.sh(state), before, "the guest's repository is as it was");
    assert.equal(git(host, "log", "--format=%an %s", "main..agent/work"), "agent What it did\nagent second");
    assert.equal(
      git(host, "ls-tree", "-r", "--format=%(objectmode) %(path)", "agent/work"),
      "100644 .gitignore\n100644 a new file\n100755 file",
    );
    assert.equal(git(host, "status", "--porcelain"), "", "the host's work tree is as it was");
    assert.equal(git(host, "rev-parse", "--abbrev-ref", "HEAD"), "main");
    await workspace.sh("git add --all; git commit --quiet -m third; git tag -a v1 -m tag");
    const next = await pull("agent/third");
    assert.deepEqual([next.made_commit, next.new_commits], [false, 1]);
    assert.equal(git(host, "tag"), "");
    await assert.rejects(pull("agent/work"), { code: "invalid_state" });
    assert.equal((await pull("agent/work", { force: true })).change, "replaced");
    assert.equal((await pull("agent/work")).change, "kept");
    assert.equal(git(host, "rev-parse", "agent/work^{tree}"), (await workspace.sh("git rev-parse HEAD^{tree}")).trim());
    await assert.rejects(pull("main"), { code: "invalid_state" });
    await assert.rejects(pull("b", { path: "/etc" }), { code: "not_found" });
    await workspace.sh("mkdir /tmp/empty && git init --quiet /tmp/empty");
    await assert.rejects(pull("b", { path: "/tmp/empty" }), { code: "invalid_state" });
    // A repository that lies about itself is found out by what comes of it.
    await workspace.sh("git cat-file blob HEAD:file >/dev/null; rm -rf .git/objects/??; git rev-parse HEAD");
    await assert.rejects(pull("broken"), { code: "guest_failed" });
    assert.equal(git(host, "for-each-ref", "refs/pyro"), "");
    const left = readdirSync(join(paths.state, "workspaces", workspace.id)).filter((name) => name.endsWith(".bundle"));
    assert.deepEqual(left, []);
  } finally {
    await pyro.workspace.delete({ workspace: workspace.id, force: true, purge: true });
  }
});
