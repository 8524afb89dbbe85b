/** `workspace.diff`: the guest compares, the server passes on, and counts what it does not keep. */
import { isUtf8 } from "node:buffer";
import type { DiffEntry, DiffResult, DiffSummary } from "../../contract/diff-operations.ts";
import { DIFF_ENTRIES_MAX } from "../../contract/limits.ts";
import type { OpenMachine, TreeChange, TreeSummary } from "../../machine/machine.ts";
import { Capture } from "../capture.ts";
import { environmentOf, GIT_TRUST } from "../command-line.ts";
import type { ServerContext } from "../context.ts";
import { claimStreams, unlessAborted } from "../execution.ts";
import type { Handlers } from "../handler.ts";
import { compareTrees } from "../../workspace/compare.ts";

/** Git counts commits within this; otherwise their number is not told. */
const COUNT_LIMIT_MS = 10_000;

type DiffHandler = Handlers["workspace"]["diff"];

export function diffHandler(context: ServerContext): DiffHandler {
  return async (input, { signal, emit }) => {
    const workspace = context.workspaces.find(input.workspace);
    const workspaceId = workspace.record.id;
    const streams = await claimStreams(context, input);
    try {
      const capture = new Capture();
      const found = new Found();
      const withPatch = !input.stat && !input.name_only;
      const request = {
        from: input.from,
        to: input.to,
        includeIgnored: input.include_ignored,
        includeBinary: input.binary,
        withPatch: !input.name_only,
      };
      const machine = await compareTrees(workspace, request, {
        signal,
        onSummary: (summary) => {
          found.summary = summary;
          emit({ type: "summary", workspace_id: workspaceId, summary: summaryOf(summary) });
        },
        onPatch: (piece) => {
          if (!withPatch) return;
          if (input.output === "result" || streams === undefined) capture.add("stdout", piece);
          else return streams.write("stdout", piece);
        },
        onChange: (change) => found.add(change),
      });
      const git = await commitsOf(machine, found.summary, signal);
      const answer = { workspace_id: workspaceId, from: input.from, to: input.to ?? null };
      return { ...answer, ...found.fields(), git, ...patchOf(capture) };
    } finally {
      streams?.finish();
    }
  };
}

/** What the guest has told, up to a limit. */
class Found {
  summary: TreeSummary | undefined;
  readonly #entries: DiffEntry[] = [];
  #dropped = 0;

  add(change: TreeChange): void {
    if (this.#entries.length < DIFF_ENTRIES_MAX) this.#entries.push(entryOf(change));
    else this.#dropped += 1;
  }

  fields(): Pick<DiffResult, "changed" | "summary" | "entries" | "entries_dropped"> {
    const summary = summaryOf(this.summary);
    return {
      changed: summary.total > 0 || summary.ignored > 0,
      summary,
      entries: this.#entries,
      entries_dropped: this.#dropped,
    };
  }
}

function summaryOf(summary: TreeSummary | undefined): DiffSummary {
  const { added = 0, modified = 0, deleted = 0, typeChanged = 0 } = summary ?? {};
  return {
    total: added + modified + deleted + typeChanged,
    added,
    modified,
    deleted,
    type_changed: typeChanged,
    text_patched: summary?.textPatched ?? 0,
    non_text: summary?.nonText ?? 0,
    renamed: summary?.renamed ?? 0,
    ignored: summary?.ignored ?? 0,
    not_in_patch: { ...summary?.lost },
  };
}

function entryOf(change: TreeChange): DiffEntry {
  const path = Buffer.from(change.path);
  return {
    path: path.toString("utf8"),
    ...(isUtf8(path) ? {} : { path_base64: path.toString("base64") }),
    renamed: change.renamed === undefined ? null : Buffer.from(change.renamed).toString("utf8"),
    status: change.status,
    artifact_type: change.kind,
    patch: change.carried,
    mode_from: modeOf(change.from),
    mode_to: modeOf(change.to),
    size_from: change.from?.size ?? null,
    size_to: change.to?.size ?? null,
    lines_added: change.linesAdded,
    lines_removed: change.linesRemoved,
    not_in_patch: [...change.lost],
  };
}

const modeOf = (side: TreeChange["from"]): string | null => side?.mode.toString(8).padStart(4, "0") ?? null;

function patchOf(capture: Capture): Pick<DiffResult, "patch" | "patch_base64" | "patch_dropped_bytes"> {
  const { stdout, stdout_base64: base64, stdout_dropped_bytes: dropped } = capture.fields();
  return { patch: stdout, ...(base64 === undefined ? {} : { patch_base64: base64 }), patch_dropped_bytes: dropped };
}

/** The guest's own git counts them, where there is one and there are any. */
async function commitsOf(
  machine: OpenMachine,
  summary: TreeSummary | undefined,
  signal: AbortSignal,
): Promise<DiffResult["git"]> {
  const { headFrom, headTo } = summary ?? {};
  const heads = { head_from: headFrom ?? null, head_to: headTo ?? null };
  if (headTo === undefined) return { ...heads, commits: null };
  if (headFrom === headTo) return { ...heads, commits: 0 };
  const capture = new Capture();
  const range = headFrom === undefined ? [headTo] : [headTo, `^${headFrom}`];
  const counted = machine.exec({
    argv: ["git", "-C", "/workspace", "rev-list", "--count", ...range, "--"],
    env: environmentOf(GIT_TRUST),
    cwd: "/",
    user: "root",
    timeLimitMs: COUNT_LIMIT_MS,
    stdin: undefined,
    onOutput: (stream, data) => capture.add(stream, data),
  });
  const { exitCode } = await unlessAborted(counted.outcome, signal);
  const text = capture.fields().stdout.trim();
  return { ...heads, commits: exitCode === 0 && /^\d{1,9}$/.test(text) ? Number(text) : null };
}
