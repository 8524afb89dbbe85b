/** This project as a git repository on the host, and the comparison of what comes out of a workspace with what is in it. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Pyro } from "../../src/sdk/pyro.ts";
import { CaseWorkspace } from "./case-workspace.ts";
import { CLI } from "./guest-host.ts";

const WHO = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=false"];
const OUTPUT_MAX_BYTES = 64 * 1024 ** 2;

export const git = (directory: string, ...words: string[]): string =>
  execFileSync("git", ["-C", directory, ...WHO, ...words], { encoding: "utf8", maxBuffer: OUTPUT_MAX_BYTES }).trim();

/** The tree that git makes of a directory: equal names, contents, links and modes have equal ids. The index is one of its own, and kept. */
export const treeScript = (base: string, index: string): string =>
  `export GIT_INDEX_FILE=${index}; test -e $GIT_INDEX_FILE || git read-tree ${base}; git add --all . && git write-tree`;

/** The repository that a workspace begins with, one that its patches are applied in, and the workspace. */
export class Review {
  readonly workspace: CaseWorkspace;
  readonly original: string;
  readonly applied: string;
  /** The commit that both begin with. */
  readonly base: string;
  readonly #patch: string;

  private constructor(workspace: CaseWorkspace, root: string, base: string) {
    this.workspace = workspace;
    this.original = join(root, "original");
    this.applied = join(root, "applied");
    this.base = base;
    this.#patch = join(root, "patch");
  }

  /** Makes the repositories in a directory, and a workspace of them. */
  static async begin(pyro: Pyro, root: string): Promise<Review> {
    const original = join(root, "original");
    git(root, "init", "--quiet", "--initial-branch=main", original);
    // All that git does not ignore, also where this is no checkout of git's or one of somebody else.
    git(root, `--git-dir=${join(original, ".git")}`, `--work-tree=${process.cwd()}`, "add", "--all");
    git(original, "commit", "--quiet", "-m", "This project");
    git(original, "reset", "--quiet", "--hard");
    // Of what this project has none.
    symlinkSync("workspaces.md", join(original, "docs", "link"));
    writeFileSync(
      join(original, "docs", "binary"),
      Buffer.from(Array.from({ length: 5000 }, (_, at) => (at * at) % 251)),
    );
    git(original, "add", ".");
    git(original, "commit", "--quiet", "-m", "A link and a binary file");
    git(root, "clone", "--quiet", "--no-hardlinks", original, join(root, "applied"));
    const { workspace_id: id } = await pyro.workspace.create({ environment: "debian:12", seed_path: original });
    return new Review(new CaseWorkspace(pyro, id, original), root, git(original, "rev-parse", "HEAD"));
  }

  /** What the workspace's files are as git's tree. */
  async tree(): Promise<string> {
    return (await this.workspace.sh(treeScript(this.base, "/tmp/index"))).trim();
  }

  /** `pyro workspace diff --binary | git apply --check` in the original, and then applied elsewhere, where it gives the workspace's tree. */
  async reviewPatch(what: string): Promise<void> {
    const { original, applied } = this;
    const line = `set -o pipefail; "$1" "$2" workspace diff "$3" --binary | tee "$4" | git -C "$5" apply --check --whitespace=nowarn --allow-empty`;
    const words = [process.execPath, CLI, this.workspace.id, this.#patch, original];
    const piped = spawnSync("bash", ["-c", line, "bash", ...words], { encoding: "utf8", maxBuffer: OUTPUT_MAX_BYTES });
    assert.equal(piped.status, 0, `${what}: ${piped.stderr}`);
    assert.equal(git(original, "status", "--porcelain"), "");
    git(applied, "reset", "--quiet", "--hard", this.base);
    git(applied, "clean", "-ffdqx");
    git(applied, "apply", "--whitespace=nowarn", "--allow-empty", this.#patch);
    git(applied, "add", "--all");
    const [wanted, found] = [await this.tree(), git(applied, "write-tree")];
    if (wanted !== found) assert.fail(`${what}: applied, the patch gives ${found}, not ${wanted}`);
  }

  /** `pyro workspace pull`, which gives what the patch gave. */
  async reviewBranch(branch: string): Promise<void> {
    const { workspace, applied } = this;
    await workspace.pyro.workspace.pull({ workspace: workspace.id, repository: applied, branch });
    assert.equal(git(applied, "diff", "--cached", "--stat", branch), "");
    assert.equal(git(applied, "rev-parse", `${branch}^{tree}`), await this.tree());
    assert.equal(git(applied, "rev-parse", "HEAD"), this.base);
  }

  async end(): Promise<void> {
    await this.workspace.pyro.workspace.delete({ workspace: this.workspace.id, force: true, purge: true });
  }
}
