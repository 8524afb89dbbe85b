/**
 * The commits of a repository in the guest, as a bundle (gitformat-bundle(5)). Whatever git does there, a hook or a filter of the
 * repository included, it does in the guest; what comes out of it is believed by nobody.
 */
import { open } from "node:fs/promises";
import { PyroError } from "../../contract/error.ts";
import { isErrno } from "../../host/files.ts";
import { Tail } from "../../host/tail.ts";
import type { ExecOutcome, ExecRequest, OpenMachine } from "../../machine/machine.ts";

/** Linux SIGKILL. */
const SIGKILL = 9;
/** The one reference of a bundle of ours, and where it lies in the guest's repository until the bundle is made. */
export const BUNDLE_REFERENCE = "refs/pyro/pull";

/** Looking at every file of a large tree under emulation. */
const PREPARE_LIMIT_MS = 600_000;
/** Packing a long history under emulation. */
const BUNDLE_LIMIT_MS = 3_600_000;
/** What a volume can hold is more than a history has. */
const BUNDLE_BYTES_MAX = 8 * 1024 ** 3;
const ANSWER_BYTES_MAX = 4096;
const COMPLAINT_BYTES_MAX = 4096;

/** Exit statuses of the script below. */
const NO_GIT = 41;
const NO_REPOSITORY = 42;
const NOTHING = 43;

/**
 * Makes the commit that is to be pulled: HEAD, or a commit on top of it with all that differs from it and git does not ignore. The
 * repository's own index and branches stay as they are. Prints the commit, whether it was made, and how many commits the
 * host, whose commits are on standard input, has not.
 */
const PREPARE = `
set -eu
command -v git >/dev/null || exit ${NO_GIT}
top=$(git -C "$1" rev-parse --show-toplevel) || exit ${NO_REPOSITORY}
cd "$top"
head=$(git rev-parse --quiet --verify 'HEAD^{commit}' || true)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
index=$(git rev-parse --git-path index)
if [ -f "$index" ]; then cp "$index" "$scratch/index"; fi
export GIT_INDEX_FILE="$scratch/index"
git add --all >&2
tree=$(git write-tree)
if [ -n "$head" ] && [ "$(git rev-parse "$head^{tree}")" = "$tree" ]; then commit=$head made=no
elif [ -z "$head" ] && [ -z "$(git ls-files | head -n 1)" ]; then exit ${NOTHING}
else
  name=$(git config user.name || echo pyro) email=$(git config user.email || echo pyro@localhost)
  commit=$(GIT_AUTHOR_NAME=$name GIT_AUTHOR_EMAIL=$email GIT_COMMITTER_NAME=$name GIT_COMMITTER_EMAIL=$email \\
    git commit-tree "$tree" \${head:+-p "$head"} -m "$2")
  made=yes
fi
git update-ref ${BUNDLE_REFERENCE} "$commit"
echo "$commit" "$made" "$({ echo "$commit"; git cat-file --batch-check='^%(objectname) %(objecttype)' | sed -n 's/ commit$//p'; } | git rev-list --count --stdin)"
`;

/** Writes the bundle to standard output, without what is reachable from the host's commits on standard input. */
const BUNDLE = `
set -eu
cd "$(git -C "$1" rev-parse --show-toplevel)"
{ echo ${BUNDLE_REFERENCE}; git cat-file --batch-check='^%(objectname) %(objecttype)' | sed -n 's/ commit$//p'; } |
  git bundle create --quiet - --stdin
`;

const CLEAN_UP = `git -C "$1" update-ref -d ${BUNDLE_REFERENCE}`;

/** SHA-1 or SHA-256, yes or no, a number. */
const ANSWER = /^([0-9a-f]{40}|[0-9a-f]{64}) (yes|no) ([0-9]{1,12})\n$/;

export interface GuestRepository {
  readonly machine: Pick<OpenMachine, "exec">;
  /** Directory in the guest, in a repository's work tree. */
  readonly path: string;
  /** Variables of the commands (see GIT_TRUST of the server). */
  readonly env: Readonly<Record<string, string>>;
  /** Commits that the host has: names of objects, any of which the guest may not know. */
  readonly hostCommits: readonly string[];
  readonly signal: AbortSignal;
}

export interface GuestCommit {
  readonly commit: string;
  /** Whether it was made of what was not committed. */
  readonly made: boolean;
  /** How many commits it brings. */
  readonly newCommits: number;
}

/** Says which commit is to be pulled, and makes it if there is none. @throws PyroError */
export async function prepareCommit(repository: GuestRepository, message: string): Promise<GuestCommit> {
  const said = new Tail(ANSWER_BYTES_MAX);
  const { outcome, complaint } = await runGit(repository, [PREPARE, message], PREPARE_LIMIT_MS, (data) => {
    said.push(Buffer.from(data));
  });
  if (outcome.exitCode !== 0) throw refusal(repository.path, outcome, complaint);
  const [, commit, made, count] = ANSWER.exec(said.text()) ?? [];
  if (commit === undefined) throw new PyroError("guest_failed", "the guest's git does not say which commit it has");
  return { commit, made: made === "yes", newCommits: Number(count) };
}

/** Writes the commit and what of its history the host has not into a new file. @throws PyroError */
export async function writeBundle(repository: GuestRepository, target: string): Promise<void> {
  const file = await open(target, "wx", 0o600).catch(diskFailed);
  let bytes = 0;
  try {
    const { outcome, complaint } = await runGit(repository, [BUNDLE], BUNDLE_LIMIT_MS, async (data) => {
      bytes += data.length;
      if (bytes > BUNDLE_BYTES_MAX) throw tooMuch();
      await file.appendFile(data).catch(diskFailed);
    });
    if (outcome.exitCode !== 0) throw refusal(repository.path, outcome, complaint);
  } finally {
    await file.close();
  }
}

/** Takes away what `prepareCommit` left in the guest's repository; where that fails the next pull takes its place. */
export async function forgetCommit(repository: GuestRepository): Promise<void> {
  await runGit(repository, [CLEAN_UP], PREPARE_LIMIT_MS, () => undefined).catch(() => undefined);
}

async function runGit(
  { machine, path, env, hostCommits, signal }: GuestRepository,
  [script, ...words]: readonly [string, ...string[]],
  timeLimitMs: number,
  onStdout: (data: Uint8Array) => Promise<void> | void,
): Promise<{ outcome: ExecOutcome; complaint: string }> {
  signal.throwIfAborted();
  const complaint = new Tail(COMPLAINT_BYTES_MAX);
  const request: ExecRequest = {
    argv: ["/bin/sh", "-c", script, "sh", path, ...words],
    env,
    cwd: "/",
    user: "root",
    timeLimitMs,
    stdin: lines(hostCommits),
    onOutput: async (stream, data) => {
      if (stream === "stdout") await onStdout(data);
      else complaint.push(Buffer.from(data));
    },
  };
  const exec = machine.exec(request);
  const onAbort = (): void => void exec.signal(SIGKILL).catch(() => undefined);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const outcome = await exec.outcome;
    signal.throwIfAborted();
    return { outcome, complaint: complaint.text() };
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function* lines(words: readonly string[]): AsyncGenerator<Uint8Array> {
  yield* [Buffer.from(words.map((word) => `${word}\n`).join(""))];
}

function tooMuch(): PyroError {
  return new PyroError("resource_exhausted", `the guest's commits are more than ${BUNDLE_BYTES_MAX / 1024 ** 3} GiB`, {
    remedy: "leave large files out of the commits, or name them in .gitignore",
  });
}

function diskFailed(failure: unknown): never {
  const full = isErrno(failure, "ENOSPC");
  throw new PyroError(
    full ? "resource_exhausted" : "internal",
    "the guest's commits cannot be written to the host's disk",
    {
      cause: failure,
      ...(full ? { remedy: "free some space, or set PYRO_STATE_DIR to a larger disk" } : {}),
    },
  );
}

function refusal(path: string, outcome: ExecOutcome, complaint: string): PyroError {
  switch (outcome.exitCode) {
    case NO_GIT:
      return new PyroError("dependency_missing", "there is no git in the workspace's environment", {
        remedy: "use an environment that has git, such as debian:12",
      });
    case NO_REPOSITORY:
      return new PyroError("not_found", `${path} of the workspace is in no git repository`, {
        remedy: "name the repository's directory with --path",
      });
    case NOTHING:
      return new PyroError(
        "invalid_state",
        `the repository in ${path} of the workspace is empty: there is nothing to pull`,
        {
          remedy: "look whether the files are ignored: git status --ignored",
        },
      );
    default:
      return new PyroError("guest_failed", "git failed in the workspace", {
        ...(outcome.timedOut ? { cause: "it took too long" } : {}),
        evidence: { exit_code: outcome.exitCode, git: complaint },
        remedy: `look at what it says there: git -C '${path}' status`,
      });
  }
}
