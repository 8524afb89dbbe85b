/** Seeds in a real guest, where one machine is enough to show it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CaseWorkspace } from "../support/case-workspace.ts";
import { client, paths, until } from "../support/guest-host.ts";

const ENVIRONMENT = "debian:12";
const MIB = 1024 ** 2;
/** Small on the disk, and more than one of everything. */
const FILES = 2000;
const WORKSPACES = 10;

const pyro = client();
const root = mkdtempSync(join(tmpdir(), "pyro-sources-"));
after(() => execFileSync("rm", ["-rf", root]));

function source(name: string): string {
  const path = join(root, name);
  mkdirSync(path);
  return path;
}

async function create(seedPath: string): Promise<CaseWorkspace> {
  const made = await pyro.workspace.create({ environment: ENVIRONMENT, seed_path: seedPath });
  return new CaseWorkspace(pyro, made.workspace_id, seedPath);
}

const remove = async ({ id }: CaseWorkspace): Promise<void> =>
  void (await pyro.workspace.delete({ workspace: id, force: true, purge: true }));

const seedOf = async ({ id }: CaseWorkspace): Promise<string> =>
  (await pyro.workspace.status({ workspace: id })).workspace_seed.seed_id ?? assert.fail("it has no seed");

const seedDirectories = (): string[] => readdirSync(join(paths.state, "seeds")).filter((name) => name !== "sources");

test("seeds: ten workspaces of one seed take what they change, and the seed is kept as long as one needs it", async () => {
  const path = source("many");
  for (let number = 0; number < FILES; number += 1) writeFileSync(join(path, `f${number}`), "x".repeat(10_000));
  const all: CaseWorkspace[] = [];
  for (let number = 0; number < WORKSPACES; number += 1) all.push(await create(path));
  const seed = await seedOf(all[0] ?? assert.fail());
  for (const each of all) assert.equal(await seedOf(each), seed);
  const seedBytes = statSync(join(paths.state, "seeds", seed, "seed.raw")).blocks * 512;
  const first = all[0] ?? assert.fail();
  await first.sh("rm f1; echo changed > f2; sync");
  assert.equal(await (all[1] ?? first).sh("head -c 3 f1; wc -c < f2"), "xxx10000\n");
  const last = all.at(-1) ?? first;
  const { disk_bytes: bytes } = await pyro.workspace.stop({ workspace: last.id });
  assert.ok(seedBytes > 20 * MIB && bytes < seedBytes / 10, `${bytes} bytes of a seed of ${seedBytes}`);
  for (const each of all.slice(0, -1)) await remove(each);
  await pyro.workspace.delete({ workspace: last.id, force: true });
  await pyro.env.prune();
  assert.ok(seedDirectories().includes(seed), "the trash needs it");
  await pyro.workspace.restore({ workspace: last.id });
  await pyro.workspace.start({ workspace: last.id });
  assert.equal(await last.sh("ls | wc -l"), `${FILES}\n`);
  await remove(last);
  assert.ok((await pyro.env.prune()).deleted_seeds.includes(seed));
});

test("seeds: a workspace whose seed is missing says so, and stays as it is", async () => {
  const path = source("missing");
  writeFileSync(join(path, "file"), "content");
  const it = await create(path);
  await it.sh("echo mine > own");
  const image = join(paths.state, "seeds", await seedOf(it), "seed.raw");
  renameSync(image, `${image}.away`);
  // Found out before anything of the running one ends.
  const { vm_id: vmId } = await pyro.workspace.status({ workspace: it.id });
  await assert.rejects(pyro.workspace.reset({ workspace: it.id }), { code: "artifact_corrupt" });
  assert.equal((await pyro.workspace.status({ workspace: it.id })).vm_id, vmId);
  assert.equal(await it.sh("cat own"), "mine\n");
  await pyro.workspace.stop({ workspace: it.id });
  await assert.rejects(pyro.workspace.start({ workspace: it.id }), { code: "artifact_corrupt" });
  await assert.rejects(pyro.workspace.reset({ workspace: it.id }), { code: "artifact_corrupt" });
  renameSync(`${image}.away`, image);
  await pyro.workspace.start({ workspace: it.id });
  assert.equal(await it.sh("cat file own"), "contentmine\n");
  await remove(it);
});

test("seeds: long paths, a large sparse file and many attributes arrive", async () => {
  const path = source("large");
  const deep = Array.from({ length: 40 }, (_, index) => `${index}-${"d".repeat(98)}`).join("/");
  assert.ok(deep.length > 4000);
  // Step by step: the whole path is longer than a call takes.
  const dig = "for (split '/', shift) { mkdir $_; chdir $_ or die } open F, '>', 'file' or die; print F 'deep'";
  execFileSync("perl", ["-e", dig, deep], { cwd: path });
  writeFileSync(join(path, "sparse"), "begin");
  truncateSync(join(path, "sparse"), 4 * 1024 ** 3);
  mkdirSync(join(path, "closed"));
  writeFileSync(join(path, "closed", "file"), "closed");
  chmodSync(join(path, "closed"), 0o500);
  execFileSync("perl", [
    "-e",
    'my ($path, $name, $value) = (@ARGV, "user.note", "\\0value"); syscall(188, $path, $name, $value, 6, 0) == 0 or die "setxattr: $!"',
    join(path, "sparse"),
  ]);
  const it = await create(path);
  const walk = "for (split '/', shift) { chdir $_ or die \"$_: $!\" } open F, 'file' or die; print <F>";
  const bottom = await pyro.workspace.exec({ workspace: it.id, command: ["perl", "-e", walk, deep] });
  assert.equal(bottom.stdout, "deep", bottom.stderr);
  assert.equal(
    await it.sh("stat -c '%s %b' sparse; head -c 5 sparse; stat -c %a closed"),
    `${4 * 1024 ** 3} 8\nbegin500\n`,
  );
  const read =
    'my ($path, $name, $v) = ("sparse", "user.note", " " x 100); my $n = syscall(191, $path, $name, $v, 100); print "$n ", unpack("H*", substr($v, 0, $n))';
  const found = await pyro.workspace.exec({ workspace: it.id, command: ["perl", "-e", read] });
  assert.equal(found.stdout, "6 0076616c7565");
  await remove(it);
});

test("seeds: a flattened workspace needs its seed no more", async () => {
  const path = source("flat");
  for (let number = 0; number < 200; number += 1) writeFileSync(join(path, `f${number}`), "x".repeat(50_000));
  const it = await create(path);
  const sum = "cat f* | cksum";
  const before = await it.sh(sum);
  await it.sh("rm f0; echo own > own");
  await it.sh("mv f1 f0; cp f2 f1");
  const shared = await seedOf(it);
  const flat = await pyro.workspace.flatten({ workspace: it.id });
  assert.deepEqual([flat.workspace_seed.seed_id, flat.workspace_seed.mode], [null, "directory"]);
  assert.ok((await pyro.env.prune()).deleted_seeds.includes(shared));
  assert.ok(!seedDirectories().includes(shared));
  await pyro.workspace.stop({ workspace: it.id });
  await pyro.workspace.start({ workspace: it.id });
  assert.equal(await it.sh(`cat own; ${sum}`), `own\n${before}`);
  await pyro.workspace.reset({ workspace: it.id });
  assert.equal(await it.sh(`ls | wc -l; ${sum}`), `200\n${before}`);
  await remove(it);
});

test("seeds: an archive that a guest makes the tree of is what tar would unpack", async () => {
  const path = source("packed");
  mkdirSync(join(path, "d"));
  writeFileSync(join(path, "d", "script"), "#!/bin/sh\n", { mode: 0o755 });
  execFileSync("ln", [join(path, "d", "script"), join(path, "hard")]);
  const archive = join(root, "packed.tar.gz");
  execFileSync("tar", ["--create", "--gzip", `--file=${archive}`, "--directory", path, "."]);
  const it = await create(archive);
  assert.equal(await it.sh("find . -mindepth 1 | sort; stat -c '%a %h' hard"), "./d\n./d/script\n./hard\n755 2\n");
  const { workspace_seed: seed } = await pyro.workspace.status({ workspace: it.id });
  assert.deepEqual([seed.mode, seed.seed_path], ["tar_archive", archive]);
  await remove(it);
});

test("seeds: a sparse file of a petabyte in an archive takes the room and the time of what is in it", async () => {
  const archive = join(root, "petabyte.tar");
  // GNU's form 0.1: the whole length, and where its one part lies. No host's file system need hold such a file.
  const script = `import sys, tarfile
archive = tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT)
info = tarfile.TarInfo("large")
info.size = 5
info.pax_headers = {"GNU.sparse.size": str(2**50), "GNU.sparse.map": f"{2**49},5"}
import io
archive.addfile(info, io.BytesIO(b"there"))
archive.close()`;
  execFileSync("python3", ["-c", script, archive]);
  const it = await create(archive);
  const look = "stat -c %s large; dd if=large bs=1 skip=$((1 << 49)) count=5 status=none";
  assert.equal(await it.sh(look), `${2 ** 50}\nthere`);
  await remove(it);
});

test("seeds: a repository with a worktree and a submodule works for root and for the workspace's user, and has no credentials", async () => {
  const path = source("repository");
  const identity = ["user.name=a", "user.email=a@b", "protocol.file.allow=always"].flatMap((each) => ["-c", each]);
  const git = (...words: string[]): void =>
    void execFileSync("git", [...identity, ...words], { cwd: path, stdio: "ignore" });
  git("init", "--quiet", "lib");
  git("-C", "lib", "commit", "--quiet", "--allow-empty", "--message", "of the library");
  git("init", "--quiet", "main");
  git("-C", "main", "submodule", "--quiet", "add", join(path, "lib"), "sub");
  git("-C", "main", "remote", "add", "origin", "https://me:t0ken@host.example/x.git");
  writeFileSync(join(path, "main", "file"), "tracked");
  git("-C", "main", "add", ".");
  git("-C", "main", "commit", "--quiet", "--message", "one");
  git("-C", "main", "worktree", "add", "--quiet", "../tree");
  const it = await create(path);
  for (const user of ["root", "1000"]) {
    for (const tree of ["main", "tree"])
      assert.equal(await it.sh(`git -C ${tree} status --short && git -C ${tree} log --format=%s`, { user }), "one\n");
    assert.equal(await it.sh("git -C main/sub log --format=%s", { user }), "of the library\n");
  }
  assert.equal(await it.sh("git -C main remote get-url origin"), "https://host.example/x.git\n");
  await it.sh(
    "echo more >> tree/file && git -C tree -c user.name=a -c user.email=a@b commit --quiet --all --message two && git -C main merge --quiet tree",
  );
  assert.equal(await it.sh("git -C main log --format=%s"), "two\none\n");
  const { workspace_seed: seed } = await pyro.workspace.status({ workspace: it.id });
  assert.match(seed.warnings.join(), /credentials were taken out of the copy of main\/\.git\/config/);
  await remove(it);
});

test("seeds: a server that is killed while it makes one leaves what the next one removes", async () => {
  const path = source("killed");
  for (let number = 0; number < 500; number += 1) writeFileSync(join(path, `f${number}`), "x".repeat(20_000));
  const { pid } = await pyro.server.status();
  const making = create(path);
  making.catch(() => undefined);
  const isMaking = (): boolean => seedDirectories().some((name) => name.endsWith(".tmp"));
  await until(isMaking, 20_000, "a seed is being made");
  process.kill(pid ?? assert.fail("there is no server"), "SIGKILL");
  await assert.rejects(making);
  assert.ok(isMaking(), "what it had made so far lies there");
  // Any call starts the next server.
  await pyro.workspace.list();
  assert.ok(!isMaking(), "nothing unfinished is left");
  const it = await create(path);
  assert.equal(await it.sh("ls | wc -l"), "500\n");
  await remove(it);
  rmSync(path, { recursive: true });
});
