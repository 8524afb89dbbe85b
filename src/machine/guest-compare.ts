/** Two trees of a volume, compared by the agent that has it mounted. */
import {
  Carried,
  type Change as ChangeMessage,
  type CompareSummary as SummaryMessage,
  PathKind,
  PathStatus,
} from "../guest/generated/pyro/agent/v1/agent_pb.ts";
import { PyroError } from "../contract/error.ts";
import { withDeadline } from "../host/deadline.ts";
import { type GuestLink, guestError } from "../guest/link.ts";
import type { CompareListener, CompareRequest, TreeChange, TreeSummary } from "./machine.ts";

/** The guest looks at all that can differ before it says the first word. */
const SILENCE_MS = 600_000;

const STATUSES = {
  [PathStatus.ADDED]: "added",
  [PathStatus.MODIFIED]: "modified",
  [PathStatus.DELETED]: "deleted",
  [PathStatus.TYPE_CHANGED]: "type_changed",
  [PathStatus.UNSPECIFIED]: undefined,
} as const;

const KINDS = {
  [PathKind.FILE]: "file",
  [PathKind.SYMLINK]: "symlink",
  [PathKind.DIRECTORY]: "directory",
  [PathKind.SPECIAL]: "other",
  [PathKind.UNSPECIFIED]: undefined,
} as const;

const CARRIED = {
  [Carried.TEXT]: "text",
  [Carried.BINARY]: "binary",
  [Carried.HUGE]: "large",
  [Carried.NEVER]: "none",
  [Carried.UNSPECIFIED]: undefined,
} as const;

/** Has the guest compare two trees, and tells what it says as it comes. */
export async function compareTrees(
  { agent }: GuestLink,
  { from, to, includeIgnored, includeBinary, withPatch, signal }: CompareRequest,
  listener: CompareListener,
): Promise<void> {
  const late = (): PyroError => new PyroError("guest_unreachable", `the guest said nothing for ${SILENCE_MS} ms`);
  const request = { from, to: to ?? "", includeIgnored, includeBinary, withPatch };
  const events = agent.compare(request, { signal })[Symbol.asyncIterator]();
  let isSummed = false;
  try {
    for (;;) {
      const next = await withDeadline(events.next(), SILENCE_MS, late);
      if (next.done === true) {
        if (isSummed) return;
        throw new PyroError("guest_failed", "the guest compared nothing");
      }
      const { event } = next.value;
      if (event.case === "summary") listener.onSummary(summaryOf(event.value));
      else if (!isSummed) throw new PyroError("guest_failed", "the guest tells of changes before their summary");
      else if (event.case === "patch") await listener.onPatch(event.value);
      else if (event.case === "change") listener.onChange(changeOf(event.value));
      isSummed = true;
    }
  } catch (failure) {
    throw guestError(failure, "comparing the workspace");
  } finally {
    await events.return?.(undefined);
  }
}

function summaryOf(message: SummaryMessage): TreeSummary {
  const { added, modified, deleted, typeChanged } = message;
  return {
    added: Number(added),
    modified: Number(modified),
    deleted: Number(deleted),
    typeChanged: Number(typeChanged),
    textPatched: Number(message.textPatched),
    nonText: Number(message.nonText),
    renamed: Number(message.renamed),
    ignored: Number(message.ignored),
    lost: Object.fromEntries(Object.entries(message.lost).map(([what, count]) => [what, Number(count)])),
    headFrom: commitOf(message.headFrom),
    headTo: commitOf(message.headTo),
  };
}

/** It becomes a word of a command line. */
const commitOf = (text: string): string | undefined => (/^[0-9a-fA-F]{40,64}$/.test(text) ? text : undefined);

function changeOf(message: ChangeMessage): TreeChange {
  const [status, kind, carried] = [STATUSES[message.status], KINDS[message.kind], CARRIED[message.carried]];
  if (status === undefined || kind === undefined || carried === undefined)
    throw new PyroError("guest_failed", "the guest tells of a change that is none");
  const { path, renamed, lost } = message;
  const wasThere = status !== "added";
  const isThere = status !== "deleted";
  return {
    path,
    renamed: renamed.length === 0 ? undefined : renamed,
    status,
    kind,
    carried,
    from: wasThere ? { mode: message.modeFrom, size: Number(message.sizeFrom) } : undefined,
    to: isThere ? { mode: message.modeTo, size: Number(message.sizeTo) } : undefined,
    linesAdded: Number(message.linesAdded),
    linesRemoved: Number(message.linesRemoved),
    lost,
  };
}
