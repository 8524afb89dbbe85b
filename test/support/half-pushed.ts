/**
 * A push in its middle, whatever the host's speed: the machine stands still until the server has sent it the beginning, then the reader of the
 * source stands still for good, and the machine goes on. The guest has a part of it, and the rest never comes.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Scope } from "../../src/host/scope.ts";
import type { Pyro } from "../../src/sdk/pyro.ts";
import { machinePid } from "./client-cases.ts";
import { Collector } from "./guest-cases.ts";
import { until } from "./guest-host.ts";
import { vmmBelow } from "./vmm-properties.ts";

const MIB = 1024 ** 2;
/** Much more than fits into pipes and sockets on the way to a machine that takes nothing. */
const LARGE_BYTES = 4 * MIB;
/** What a server writes besides is less. Of this the guest gets the first file, and a part of the large one. */
const SENT_BYTES = 32 * 1024;
const DEADLINE_MS = 30_000;

/** What the push puts down first. */
const FIRST = "first";
const STAGING = ".pyro-incoming-*";
/** Says when the first file has come, wherever that is, and is on the disk; and when no staging place is there any more. */
const WATCH = `echo looking; until test -e ${STAGING}/${FIRST} || test -e ${FIRST}; do sleep 0.02; done
  sync; if test -e ${FIRST}; then echo came into the open; else echo came staged; fi
  while test -e ${STAGING}; do sleep 0.02; done; echo gone`;

export interface HalfPushed {
  /** The push's own end. */
  readonly pushing: Promise<unknown>;
  /** Settles when the guest has nothing of it any more. */
  readonly forgotten: () => Promise<void>;
}

/** Begins to push `source`, to which a large file is added, over the workspace; settles in the middle of that. */
export async function halfPushed(
  { pyro, id, source }: { readonly pyro: Pyro; readonly id: string; readonly source: string },
  signal?: AbortSignal,
): Promise<HalfPushed> {
  writeFileSync(join(source, FIRST), FIRST);
  writeFileSync(join(source, "large"), Buffer.alloc(LARGE_BYTES, "x"));
  const stdout = new Collector();
  const watching = pyro.workspace.exec({ workspace: id, command: WATCH, timeout_seconds: 120 }, { stdout });
  // It ends with its machine, where that is killed.
  watching.catch(() => undefined);
  await stdout.seen("looking");
  const { vm_id: machine } = await pyro.workspace.status({ workspace: id });
  const vmm = vmmBelow((await machinePid(machine ?? "")) ?? assert.fail("the machine has no VMM"));
  const { pid: server } = await pyro.server.status();
  const before = writtenBytes(server);
  process.kill(vmm, "SIGSTOP");
  await using undo = new Scope();
  undo.defer(() => goOn(vmm));
  const pushing = pyro.workspace.sync.push({ workspace: id, source_path: source }, { signal });
  // Whoever has it awaits it.
  pushing.catch(() => undefined);
  const reader = await waitingReader(server, before);
  process.kill(reader, "SIGSTOP");
  // It ends with the push that is interrupted, and otherwise goes on.
  undo.defer(() => goOn(reader));
  goOn(vmm);
  await Promise.race([stdout.seen("came"), ended(pushing)]);
  assert.equal(stdout.bytes.toString(), "looking\ncame staged\n");
  undo.keep();
  return { pushing, forgotten: async () => await stdout.seen("gone") };
}

/** The reader of the source, a child of the server's, once that has sent the beginning: it waits to give more. */
async function waitingReader(server: number | null, before: number): Promise<number> {
  await until(() => writtenBytes(server) > before + SENT_BYTES, DEADLINE_MS, "the push is under way");
  const children = readFileSync(`/proc/${server}/task/${server}/children`, "utf8").trim().split(" ");
  const isReader = (pid: string): boolean => readFileSync(`/proc/${pid}/comm`, "utf8") === "pyro-seed\n";
  return Number(children.find(isReader) ?? assert.fail("nobody reads the source"));
}

/** What a process has written so far, to files, pipes and sockets. */
const writtenBytes = (pid: number | null): number =>
  Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);

function goOn(pid: number): void {
  try {
    process.kill(pid, "SIGCONT");
  } catch {
    // It has ended.
  }
}

async function ended(pushing: Promise<unknown>): Promise<never> {
  await pushing;
  throw new Error("the push has ended, and was to be in its middle");
}
