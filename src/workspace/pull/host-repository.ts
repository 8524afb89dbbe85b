/**
 * A git repository of the user's on the host: objects and one branch are added to it, and nothing else of it changes, neither its
 * work tree, its index, its configuration nor a hook's doing.
 */
import { createReadStream } from "node:fs";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { PyroError } from "../../contract/error.ts";
import { ended, runProgram, startProgram } from "../../host/process.ts";
import { Tail } from "../../host/tail.ts";
import { packOffset } from "./bundle.ts";
import { BUNDLE_REFERENCE } from "./guest-commits.ts";

const QUERY_DEADLINE_MS = 60_000;
/** Checking every object of a long history. */
const FETCH_DEADLINE_MS = 3_600_000;
/** Commits that the guest is told of: enough to find where its history begins to differ. */
const KNOWN_COMMITS_MAX = 500;
const COMPLAINT_BYTES_MAX = 4096;

/** What git would do by the way is left undone: hooks, looking at the work tree, fetching what a partial clone lacks. */
const CAREFUL = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"];
const environment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  LC_ALL: "C",
  GIT_TERMINAL_PROMPT: "0",
  GIT_NO_LAZY_FETCH: "1",
});

export interface BranchUpdate {
  /** "kept": it was this commit before. */
  readonly change: "created" | "forwarded" | "replaced" | "kept";
  readonly before: string | null;
}

export class HostRepository {
  readonly #directory: string;
  readonly #branch: string;
  readonly #signal: AbortSignal;

  private constructor(directory: string, branch: string, signal: AbortSignal) {
    this.#directory = directory;
    this.#branch = `refs/heads/${branch}`;
    this.#signal = signal;
  }

  /**
   * Opens the repository that `directory` is in, for one branch.
   * @throws PyroError not_found, invalid_argument, invalid_state when a work tree has the branch checked out
   */
  static async open(directory: string, branch: string, signal: AbortSignal): Promise<HostRepository> {
    const repository = new HostRepository(directory, branch, signal);
    const found = await repository.#git(["rev-parse", "--git-dir"]);
    if (found.code !== 0) {
      throw new PyroError("not_found", `${directory} is in no git repository that can be used`, {
        cause: lastLine(found.stderr),
        remedy: "go to the repository that the commits are for, or name it with --repository",
      });
    }
    // git branch refuses the first as well.
    if (branch.startsWith("-") || (await repository.#git(["check-ref-format", repository.#branch])).code !== 0) {
      throw new PyroError("invalid_argument", `${JSON.stringify(branch)} is no name of a branch`, {
        remedy: "see git-check-ref-format(1)",
      });
    }
    const places = await repository.#ask(["for-each-ref", "--format=%(worktreepath)", repository.#branch]);
    if (places.trim() !== "") {
      throw new PyroError("invalid_state", `the branch ${branch} is checked out in ${places.trim()}`, {
        remedy: "pull to another branch, and merge it there",
      });
    }
    return repository;
  }

  /** The newest commits of its branches, remote branches and HEAD. */
  async knownCommits(): Promise<string[]> {
    const [count, places] = [`--count=${KNOWN_COMMITS_MAX}`, ["refs/heads", "refs/remotes"]];
    const tips = await this.#ask(["for-each-ref", "--sort=-committerdate", count, "--format=%(objectname)", ...places]);
    // There is none in a repository without commits.
    const head = await this.#git(["rev-parse", "--quiet", "--verify", "HEAD^{commit}"]);
    return [...new Set(`${head.stdout}${tips}`.split("\n").filter((name) => name !== ""))];
  }

  /**
   * Takes the bundle's objects in, after each was checked, and has the branch be `commit`. Killed at any moment, or refused, the branch is
   * as it was or as it is to be; objects that nothing refers to are git's to clean up.
   * @throws PyroError guest_failed for what is no sound bundle, invalid_state when the branch has commits of its own
   */
  async take(bundle: string, commit: string, { force }: { force: boolean }): Promise<BranchUpdate> {
    const offset = await packOffset(bundle, commit, BUNDLE_REFERENCE);
    if (offset === undefined) throw unsound("it has another reference than it was to have");
    await this.#indexPack(bundle, offset);
    // What is reachable from a reference is complete by git's own rule; so is what comes on top of it then.
    const connected = await this.#git(
      ["rev-list", "--objects", "--quiet", commit, "--not", "--all"],
      FETCH_DEADLINE_MS,
    );
    if (connected.code !== 0) throw unsound(connected.stderr);
    return await this.move(commit, { force });
  }

  /** Fetching from a bundle checks nothing before git 2.46; this does (git-index-pack(1), --strict). */
  async #indexPack(bundle: string, offset: number): Promise<void> {
    const words = ["-C", this.#directory, ...CAREFUL, "index-pack", "--strict", "--fix-thin", "--stdin"];
    const child = startProgram("git", words, { env: environment(), stdio: ["pipe", "ignore", "pipe"] });
    const complaint = new Tail(COMPLAINT_BYTES_MAX);
    child.stderr?.on("data", (data: Buffer) => complaint.push(data));
    // One that refuses closes its input; its exit status says that it did.
    const feeding = pipeline(createReadStream(bundle, { start: offset }), child.stdin as Writable).catch(
      () => undefined,
    );
    const { code } = await ended(child, "git", { deadlineMs: FETCH_DEADLINE_MS, signal: this.#signal });
    await feeding;
    if (code !== 0) throw unsound(complaint.text());
  }

  /** Has the branch be `commit`, which the repository has. @throws PyroError invalid_state when it has commits of its own */
  async move(commit: string, { force }: { force: boolean }): Promise<BranchUpdate> {
    const now = await this.#git(["rev-parse", "--quiet", "--verify", `${this.#branch}^{commit}`]);
    const before = now.code === 0 ? now.stdout.trim() : null;
    if (before === commit) return { change: "kept", before };
    const isForward = before !== null && (await this.#git(["merge-base", "--is-ancestor", before, commit])).code === 0;
    if (before !== null && !isForward && !force) {
      throw new PyroError("invalid_state", `${this.#branch} has commits that the workspace has not`, {
        remedy: "pull to another branch, or say --force to let go of them",
        evidence: { before, commit },
      });
    }
    // Git refuses when somebody else has moved it meanwhile.
    const none = "0".repeat(commit.length);
    const words = ["update-ref", "--create-reflog", "-m", "pyro workspace pull", this.#branch, commit, before ?? none];
    const moved = await this.#git(words);
    if (moved.code !== 0) {
      throw new PyroError("invalid_state", `${this.#branch} was not moved`, { cause: lastLine(moved.stderr) });
    }
    return { change: before === null ? "created" : isForward ? "forwarded" : "replaced", before };
  }

  async #ask(words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#git(words);
    if (code === 0) return stdout;
    throw new PyroError("invalid_state", `git ${words[0]} failed in ${this.#directory}`, { cause: lastLine(stderr) });
  }

  async #git(
    words: readonly string[],
    deadlineMs = QUERY_DEADLINE_MS,
  ): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const options = { deadlineMs, env: environment(), signal: this.#signal };
    return await runProgram("git", ["-C", this.#directory, ...CAREFUL, ...words], options);
  }
}

function unsound(complaint: string): PyroError {
  return new PyroError("guest_failed", "what the workspace's git gave is not taken: it is no sound bundle", {
    cause: lastLine(complaint),
    remedy: "check the repository in the workspace: git fsck",
  });
}

const lastLine = (text: string): string => text.trim().split("\n").at(-1) ?? "";
