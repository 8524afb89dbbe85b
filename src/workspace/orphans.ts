/** Commands whose callers went with the server before: nobody can take their output any more. */
import { PyroError } from "../contract/error.ts";
import { withDeadline } from "../host/deadline.ts";
import type { LeftCommand, OpenMachine } from "../machine/machine.ts";
import type { CalledCommand } from "./called-commands.ts";
import type { CommandLog } from "./command-log.ts";
import { type DetachedNote, noteOf } from "./detached.ts";
import { KeptOutput } from "./kept-output.ts";

/** From SIGKILL to the end that the guest says, with the output that it still has. */
const END_DEADLINE_MS = 30_000;

const INTERRUPTED = "its server was killed, and nobody waited for it any more";

export interface LeftDetached {
  readonly execId: string;
  readonly note: DetachedNote;
  /** That it ended is in the log already. */
  readonly isLogged: boolean;
}

export interface Orphans {
  /** What is known of them. */
  readonly called: ReadonlyMap<string, CalledCommand>;
  readonly log: CommandLog;
  /** One that was started for nobody to wait for it: it goes on, or has ended and can be read. In the order of their starts. */
  readonly onDetached: (found: LeftDetached) => void;
  readonly onNotice: (notice: string) => void;
}

/**
 * Ends them, and logs each with what the guest still has of its output. What fails is said, and changes nothing else.
 * @returns how many there were
 */
export async function endOrphans(machine: Pick<OpenMachine, "commands">, orphans: Orphans): Promise<number> {
  const failed = (failure: unknown): void =>
    orphans.onNotice(`a command of the server before: ${PyroError.from(failure).message}`);
  const left = await machine.commands().catch((failure: unknown) => {
    failed(failure);
    return [];
  });
  const logged = new Set((await orphans.log.read()).map(({ sequence }) => sequence));
  const noted = left.map((command) => ({ ...command, note: noteOf(command.note) }));
  const detached = noted.flatMap(({ execId, isRunning, note }) =>
    note === undefined ? [] : [{ execId, note, isLogged: !isRunning && logged.has(note.sequence) }],
  );
  for (const found of detached.toSorted((one, other) => one.note.sequence - other.note.sequence)) {
    orphans.onDetached(found);
  }
  const ended = left.filter((_, index) => noted[index]?.note === undefined);
  await Promise.all(ended.map(async (orphan) => await endOrphan(orphan, orphans).catch(failed)));
  return ended.length;
}

async function endOrphan(orphan: LeftCommand, { called, log }: Orphans): Promise<void> {
  const kept = new KeptOutput();
  const late = (): PyroError => new PyroError("deadline_exceeded", `it does not end within ${END_DEADLINE_MS} ms`);
  const ending = orphan.end((stream, data) => kept.add(stream, data));
  const outcome = await withDeadline(ending, END_DEADLINE_MS, late);
  const known = called.get(orphan.execId);
  // Nobody can say what it was.
  if (known === undefined) return;
  const { sequence, command, cwd } = known;
  await log.add({ sequence, command, cwd, ...kept.logged(outcome), interrupted: INTERRUPTED });
}
