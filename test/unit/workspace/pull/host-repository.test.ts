/** What comes out of a guest on its way into a repository of the user's. Bundles are git's own; hostile ones are made by hand. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { BUNDLE_REFERENCE } from "../../../../src/workspace/pull/guest-commits.ts";
import { HostRepository } from "../../../../src/workspace/pull/host-repository.ts";

const root = mkdtempSync(join(tmpdir(), "pyro-pull-"));
after(() => rmSync(root, { recursive: true }));

const IDENTITY = { GIT_AUTHOR_NAME: "a", GIT_AUTHOR_EMAIL: "a@b", GIT_COMMITTER_NAME: "a", GIT_COMMITTER_EMAIL: "a@b" };
const signal = new AbortController().signal;
let count = 0;

function git(directory: string, words: readonly string[], input?: string | Buffer): string {
  const env = { ...process.env, ...IDENTITY };
  const stdio = ["pipe", "pipe", "pipe"] as const;
  return execFileSync("git", ["-C", directory, ...words], { env, encoding: "utf8", stdio: [...stdio], input }).trim();
}

/** A repository with one commit, whose hooks would all be noticed. */
function repository(): { path: string; first: string; hookRan: () => boolean } {
  count += 1;
  const path = join(root, `host-${count}`);
  git(root, ["init", "--quiet", "--initial-branch=main", path]);
  writeFileSync(join(path, "file"), "one\n");
  git(path, ["add", "."]);
  git(path, ["commit", "--quiet", "-m", "first"]);
  const mark = join(root, `hook-${count}`);
  for (const hook of ["reference-transaction", "post-merge", "post-checkout", "pre-auto-gc", "post-index-change"]) {
    writeFileSync(join(path, ".git", "hooks", hook), `#!/bin/sh\ntouch ${mark}\n`);
    chmodSync(join(path, ".git", "hooks", hook), 0o755);
  }
  return { path, first: git(path, ["rev-parse", "HEAD"]), hookRan: () => existsSync(mark) };
}

/** A clone, as a guest has it, with one commit more. */
function guest(host: string, content = "two\n"): { path: string; commit: string } {
  count += 1;
  const path = join(root, `guest-${count}`);
  git(root, ["clone", "--quiet", host, path]);
  writeFileSync(join(path, "file"), content);
  git(path, ["commit", "--quiet", "-a", "-m", "second"]);
  return { path, commit: git(path, ["rev-parse", "HEAD"]) };
}

function bundle(path: string, commit: string, ...not: readonly string[]): string {
  count += 1;
  const target = join(root, `${count}.bundle`);
  git(path, ["update-ref", BUNDLE_REFERENCE, commit]);
  git(path, ["bundle", "create", "--quiet", target, BUNDLE_REFERENCE, ...not]);
  return target;
}

/** All that a pull has to leave alone. */
const around = (path: string): unknown => [
  readFileSync(join(path, ".git", "config"), "utf8"),
  readFileSync(join(path, ".git", "HEAD"), "utf8"),
  readFileSync(join(path, ".git", "index")).toString("hex"),
  existsSync(join(path, ".git", "FETCH_HEAD")),
  readdirSync(path).toSorted(),
  git(path, ["for-each-ref", "--format=%(refname)"])
    .split("\n")
    .filter((name) => name !== "refs/heads/work"),
];

test("a bundle's commits become the branch, and nothing else of the repository changes", async () => {
  const { path, first, hookRan } = repository();
  const { path: inside, commit } = guest(path);
  const before = around(path);
  const host = await HostRepository.open(path, "work", signal);
  assert.deepEqual(await host.knownCommits(), [first]);
  const made = bundle(inside, commit, `^${first}`);
  assert.deepEqual(await host.take(made, commit, { force: false }), { change: "created", before: null });
  assert.equal(git(path, ["rev-parse", "work"]), commit);
  assert.equal(git(path, ["show", "work:file"]), "two");
  assert.deepEqual(await host.take(made, commit, { force: false }), { change: "kept", before: commit });
  assert.deepEqual(around(path), before);
  assert.equal(hookRan(), false);
});

test("a branch goes forward by itself, and loses commits only by force", async () => {
  const { path, first } = repository();
  const [one, other] = [guest(path), guest(path, "three\n")];
  const host = await HostRepository.open(path, "work", signal);
  git(path, ["branch", "work", first]);
  const taken = await host.take(bundle(one.path, one.commit, `^${first}`), one.commit, { force: false });
  assert.deepEqual(taken, { change: "forwarded", before: first });
  const diverged = bundle(other.path, other.commit, `^${first}`);
  await assert.rejects(host.take(diverged, other.commit, { force: false }), { code: "invalid_state" });
  assert.equal(git(path, ["rev-parse", "work"]), one.commit);
  assert.deepEqual(await host.take(diverged, other.commit, { force: true }), {
    change: "replaced",
    before: one.commit,
  });
  assert.equal(git(path, ["for-each-ref", "refs/pyro"]), "");
});

test("what is refused is refused before the guest is asked", async () => {
  const { path } = repository();
  await assert.rejects(HostRepository.open(path, "main", signal), { code: "invalid_state" });
  await assert.rejects(HostRepository.open(root, "work", signal), { code: "not_found" });
  await assert.rejects(HostRepository.open(join(root, "nowhere"), "work", signal), { code: "not_found" });
  for (const branch of ["-x", "a..b", "a b", "a\nb", "/a", "a.lock", "@{-1}", "refs/../x", "a~"]) {
    await assert.rejects(HostRepository.open(path, branch, signal), { code: "invalid_argument" }, branch);
  }
});

test("a bundle that is damaged, of something else, or with objects that are no sound ones leaves all as it was", async () => {
  const { path, first } = repository();
  const { path: inside, commit } = guest(path);
  const sound = readFileSync(bundle(inside, commit, `^${first}`));
  const host = await HostRepository.open(path, "work", signal);
  const before = around(path);
  const refuse = async (bytes: Buffer, wanted = commit): Promise<void> => {
    count += 1;
    const target = join(root, `${count}.bundle`);
    writeFileSync(target, bytes);
    await assert.rejects(host.take(target, wanted, { force: true }), { code: "guest_failed" });
  };
  await refuse(Buffer.alloc(0));
  await refuse(sound.subarray(0, -30));
  await refuse(Buffer.from(sound.map((byte, index) => (index === sound.length - 40 ? byte ^ 1 : byte))));
  await refuse(sound, first);
  // Another reference, which a careless fetch would have written.
  git(inside, ["update-ref", "refs/heads/main", commit]);
  git(inside, [
    "bundle",
    "create",
    "--quiet",
    join(root, "more.bundle"),
    BUNDLE_REFERENCE,
    "refs/heads/main",
    `^${first}`,
  ]);
  await refuse(readFileSync(join(root, "more.bundle")));
  // A tree that would be written into a repository's own directory when it is checked out (CVE-2014-9390).
  const blob = git(inside, ["hash-object", "-w", "--stdin"], "[core]\n\tfsmonitor = touch /tmp/owned\n");
  const entry = (name: string, mode: string, id: string): Buffer =>
    Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(id, "hex")]);
  const literally = ["hash-object", "-w", "--literally", "--stdin", "-t"];
  const inner = git(inside, [...literally, "tree"], entry("config", "100644", blob));
  for (const name of [".git", "..", ".GIT"]) {
    const tree = git(inside, [...literally, "tree"], entry(name, "40000", inner));
    const hostile = git(inside, ["commit-tree", tree, "-p", first, "-m", "hostile"]);
    await refuse(readFileSync(bundle(inside, hostile, `^${first}`)), hostile);
  }
  // What it says it builds on is not there.
  const { path: stranger, commit: unknown } = guest(inside, "else\n");
  await refuse(readFileSync(bundle(stranger, unknown, `^${commit}`)), unknown);
  assert.deepEqual(around(path), before);
  assert.equal(git(path, ["branch", "--list", "work"]), "");
});
