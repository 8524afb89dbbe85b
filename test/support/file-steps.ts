/**
 * What brings files in and out, with the server, the VMM or the client killed before each of the server's steps: the tree and the host's target
 * are the old one or the new one, and nothing is left beside either.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PyroError } from "../../src/contract/error.ts";
import type { Pyro } from "../../src/sdk/pyro.ts";
import { CaseWorkspace } from "./case-workspace.ts";
import { CliProcess } from "./cli-process.ts";
import { machinePid } from "./client-cases.ts";
import { paths, until } from "./guest-host.ts";
import { EXPECTED } from "./random-kills.ts";
import { startAfterKill } from "./random-workspace-kills.ts";
import type { StepOrders } from "./step-orders.ts";
import { LOOK, lookAt } from "./trees.ts";
import { vmmBelow } from "./vmm-properties.ts";

export type Victim = "server" | "VMM" | "client";

const NAME = "steps";
/** Several messages of it. */
const LARGE_BYTES = 256 * 1024;
/** More than any of these takes. */
const STEPS_MAX = 10_000;
const CLEAN_WITHIN_MS = 30_000;
/** What a call may say as well: its machine was gone before it began. */
const ALSO_EXPECTED = new Set(["invalid_state", "not_found"]);
const WHO = ["-c", "user.name=a", "-c", "user.email=a@b"];

/** The workspace, and what is on the host for it. */
export interface Scene {
  readonly pyro: Pyro;
  readonly orders: StepOrders;
  readonly host: string;
  readonly workspace: CaseWorkspace;
}

interface Operation {
  readonly words: (host: string) => readonly string[];
  /** The same in this process: a client that is not killed starts the next server itself, where it knows that nothing was done. */
  readonly call: (scene: Scene) => Promise<unknown>;
  /** All that it may change. */
  readonly look: (scene: Scene) => Promise<string>;
}

const inTree = async ({ workspace }: Scene): Promise<string> => await workspace.sh(`cd tree && ${LOOK}`);
/** When it was written is no matter. */
const contents = async ({ workspace }: Scene): Promise<string> =>
  await workspace.sh("cd tree && find . -printf '%p %m %l\\n' | sort; find . -type f -exec sha256sum {} + | sort");

const PATCH = `diff --git a/tree/f1 b/tree/f1
--- a/tree/f1
+++ b/tree/f1
@@ -1 +1 @@
-old 1
+patched
diff --git a/tree/f2 b/tree/moved/f2
similarity index 100%
rename from tree/f2
rename to tree/moved/f2
diff --git a/tree/sub/f3 b/tree/sub/f3
deleted file mode 100644
--- a/tree/sub/f3
+++ /dev/null
@@ -1 +0,0 @@
-old 3
diff --git a/tree/new b/tree/new
new file mode 100755
--- /dev/null
+++ b/tree/new
@@ -0,0 +1 @@
+new
`;

export const OPERATIONS: Readonly<Record<string, Operation>> = {
  "sync push": {
    words: (host) => ["sync", "push", NAME, join(host, "pushed"), "--dest", "tree"],
    call: async ({ pyro, host }) =>
      await pyro.workspace.sync.push({ workspace: NAME, source_path: join(host, "pushed"), dest: "tree" }),
    look: inTree,
  },
  "patch apply": {
    words: (host) => ["patch", "apply", NAME, join(host, "patch")],
    call: async ({ pyro, host }) =>
      await pyro.workspace.patch.apply({ workspace: NAME, patch_path: join(host, "patch") }),
    look: contents,
  },
  "file write": {
    words: (host) => ["file", "write", NAME, "tree/f1", "--text-file", join(host, "pushed", "f2")],
    call: async ({ pyro }) => await pyro.workspace.file.write({ workspace: NAME, path: "tree/f1", text: "new 2\n" }),
    look: contents,
  },
  "file edit": {
    words: () => ["file", "edit", NAME, "tree/f1", "--old", "old", "--new", "edited"],
    call: async ({ pyro }) =>
      await pyro.workspace.file.edit({ workspace: NAME, path: "tree/f1", old: "old", new: "edited" }),
    look: contents,
  },
  export: {
    words: (host) => ["export", NAME, "other", "--output", join(host, "out", "target"), "--overwrite"],
    call: async ({ pyro, host }) => {
      const request = { workspace: NAME, path: ["other"], output_path: join(host, "out", "target"), overwrite: true };
      return await pyro.workspace.export(request);
    },
    look: async ({ host }) => await Promise.resolve(lookAt(join(host, "out", "target"))),
  },
  pull: {
    words: (host) => ["pull", NAME, "--branch", "out", "--repository", join(host, "seed")],
    call: async ({ pyro, host }) =>
      await pyro.workspace.pull({ workspace: NAME, branch: "out", repository: join(host, "seed") }),
    look: async ({ host }) => await Promise.resolve(repository(join(host, "seed"))),
  },
};

const git = (directory: string, ...words: string[]): string =>
  execFileSync("git", ["-C", directory, ...WHO, ...words], { encoding: "utf8" });

/** Its branches, by their trees; what is not committed; and whether it is whole. */
function repository(directory: string): string {
  const branches = git(directory, "for-each-ref", "--format=%(refname) %(tree)");
  git(directory, "fsck", "--strict");
  return `${branches}${git(directory, "status", "--porcelain")}`;
}

function fill(directory: string, content: string): void {
  mkdirSync(join(directory, "sub", content), { recursive: true });
  for (let number = 0; number < 5; number += 1)
    writeFileSync(join(directory, number % 2 === 0 ? "" : "sub", `f${number}`), `${content} ${number}\n`);
  writeFileSync(join(directory, "f1"), `${content} 1\n`);
  writeFileSync(join(directory, "large"), Buffer.alloc(LARGE_BYTES, content));
}

/** Makes what is on the host in a directory, and a workspace of it. */
export async function beginScene(pyro: Pyro, orders: StepOrders, host: string): Promise<Scene> {
  const seed = join(host, "seed");
  fill(join(seed, "tree"), "old");
  fill(join(seed, "other"), "exported");
  fill(join(host, "pushed"), "new");
  writeFileSync(join(host, "patch"), PATCH);
  git(host, "init", "--quiet", "--initial-branch=main", seed);
  git(seed, "add", ".");
  git(seed, "commit", "--quiet", "-m", "first");
  const request = { environment: "debian:12", name: NAME, mem_mib: 256, seed_path: seed };
  const { workspace_id: id } = await pyro.workspace.create(request);
  const workspace = new CaseWorkspace(pyro, id, host);
  await workspace.sh("cp -a tree /root/old; echo more > other/more");
  return { pyro, orders, host, workspace };
}

export async function endScene({ pyro }: Scene): Promise<void> {
  await pyro.workspace.delete({ workspace: NAME, force: true, purge: true });
  await pyro.env.prune();
}

/**
 * Has the operation done with `victim` killed before its first step, its second, and so on, until it is done before that; of an operation with
 * more than `kills` steps so many of them. How often somebody was killed, and of how many steps.
 */
export async function killAtEachStep(
  scene: Scene,
  name: string,
  { victim, kills }: { readonly victim: Victim; readonly kills: number },
): Promise<{ killed: number; steps: number }> {
  const operation = OPERATIONS[name] ?? assert.fail(name);
  await prepare(scene);
  const before = await operation.look(scene);
  const whole = await attempt(scene, operation, { victim, before: STEPS_MAX });
  assert.ok(whole.isSuccess && !whole.isDone && whole.steps > 0, `${name}: ${JSON.stringify(whole)}`);
  const after = await operation.look(scene);
  assert.notEqual(after, before, `${name} changes something`);
  const stride = Math.max(1, whole.steps / kills);
  let killed = 0;
  for (let at = 1; ; at += stride) {
    const step = Math.floor(at);
    assert.ok(step < STEPS_MAX, `${name} never ends`);
    await prepare(scene);
    const { isDone, isSuccess, said } = await attempt(scene, operation, { victim, before: step });
    const what = `${name}, ${victim} killed before step ${step} of about ${whole.steps}: ${said}`;
    await startAfterKill(scene.pyro, NAME);
    const now = await operation.look(scene);
    if (now !== before && now !== after) assert.fail(`${what}: a part is there:\n${now}\nnot as before:\n${before}`);
    if (isSuccess) assert.equal(now, after, `${what}: it was done`);
    await nothingBeside(scene, what);
    if (!isDone) {
      assert.ok(isSuccess, what);
      return { killed, steps: step - 1 };
    }
    killed += 1;
  }
}

interface Attempt {
  /** Somebody was killed. */
  readonly isDone: boolean;
  readonly isSuccess: boolean;
  readonly steps: number;
  /** How it ended. */
  readonly said: string;
}

/** The operation once. */
async function attempt(
  scene: Scene,
  operation: Operation,
  { victim, before }: { readonly victim: Victim; readonly before: number },
): Promise<Attempt> {
  if (victim === "client") return await attemptOfClient(scene, operation, before);
  const { orders, pyro } = scene;
  orders.give({ before, pid: victim === "VMM" ? await vmmPid(pyro) : 0 });
  const failure = await operation.call(scene).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const taken = orders.end();
  if (failure === undefined) return { ...taken, isSuccess: true, said: "done" };
  assert.ok(PyroError.is(failure) && taken.isDone, PyroError.from(failure).message);
  assert.ok(EXPECTED.has(failure.code) || ALSO_EXPECTED.has(failure.code), `${failure.code}: ${failure.message}`);
  return { ...taken, isSuccess: false, said: failure.code };
}

async function attemptOfClient({ orders, host }: Scene, operation: Operation, before: number): Promise<Attempt> {
  using client = new CliProcess(["workspace", ...operation.words(host), "--json"]);
  orders.give({ before, pid: client.child.pid ?? assert.fail("it did not start") });
  const end = await client.end();
  const taken = orders.end();
  const said = `exit ${end.code}, ${end.signal}: ${end.stdout.toString()}${end.stderr}`;
  assert.ok(end.code === 0 || (taken.isDone && end.signal === "SIGKILL"), said);
  return { ...taken, isSuccess: end.code === 0, said };
}

async function vmmPid(pyro: Pyro): Promise<number> {
  const { vm_id: machine } = await pyro.workspace.status({ workspace: NAME });
  return vmmBelow((await machinePid(machine ?? "")) ?? assert.fail("the machine has no VMM"));
}

/** Brings both sides back to what they were. */
async function prepare({ workspace, host }: Scene): Promise<void> {
  await workspace.sh("test -e .old || cp -a tree .old; rm -rf tree; cp -a .old tree; sync");
  rmSync(join(host, "out"), { recursive: true, force: true });
  fill(join(host, "out", "target"), "there before");
  // The same as the last time.
  execFileSync("find", [join(host, "out"), "-exec", "touch", "-d", "@1", "{}", "+"]);
  git(join(host, "seed"), "update-ref", "-d", "refs/heads/out");
}

/** A killed server's work is put right by the next one, beside what is asked of it; a killed client's call may still be going on. */
async function nothingBeside({ workspace, host }: Scene, what: string): Promise<void> {
  assert.equal(await workspace.sh("ls -A"), ".git\n.old\nother\ntree\n", what);
  await until(() => readdirSync(join(host, "out")).join() === "target", CLEAN_WITHIN_MS, `${what}: only the target`);
  const copying = join(paths.state, "copying");
  await until(() => readdirSync(copying).length === 0, CLEAN_WITHIN_MS, `${what}: nothing is left of copies`);
}
