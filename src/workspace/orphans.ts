/** Commands whose callers went with the server before: nobody can take their output any more. */
import { PyroError } from "../contract/error.ts";
import { withDeadline } from "../host/deadline.ts";
import type { LeftCommand, OpenMachine } from "../machine/machine.ts";
import type { CalledCommand } from "./called-commands.ts";
import type { CommandLog } from "./command-log.ts";
import { KeptOutput } from "./kept-output.ts";

/** From SIGKILL to the end that the guest says, with the output that it still has. */
const END_DEADLINE_MS = 30_000;

const INTERRUPTED = "its server was killed, and nobody waited for it any more";

export interface Orphans {
  /** What is known of them. */
  readonly called: ReadonlyMap<string, CalledCommand>;
  readonly log: CommandLog;
  /** One that goes on: it was started for nobody to wait for it. */
  readonly onDetached: (found: CalledCommand) => void;
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
  const isKept = ({ execId }: LeftCommand): boolean => orphans.called.get(execId)?.detached === true;
  for (const { execId } of left.filter(isKept)) {
    const found = orphans.called.get(execId);
    if (found !== undefined) orphans.onDetached(found);
  }
  const ended = left.filter((command) => !isKept(command));
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
