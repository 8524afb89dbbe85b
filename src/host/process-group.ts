/**
 * Programs that start programs of their own (package managers, pipelines), ended as a whole.
 *
 * Each is the leader of a process group, and the group is what gets the signals: a child that outlives its parent
 * would go on writing where nobody looks any more.
 */
import type { ChildProcess } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { PyroError } from "../contract/error.ts";
import { withDeadline } from "./deadline.ts";
import { isErrno } from "./files.ts";
import { startFailure, startProgram } from "./process.ts";

const TERM_GRACE_MS = 3000;
/** How often a group that was killed is looked at, and how long at most. */
const POLL_MS = 20;
const KILL_DEADLINE_MS = 10_000;

/**
 * Ends the whole group when file descriptor 3 reaches its end, which it does when its writer, this process, is gone.
 * "$@" is the program, $0 the grace in seconds.
 */
const TETHER = `{ trap '' TERM; read -r _ <&3; kill -TERM 0; sleep "$0"; kill -KILL 0; } >/dev/null 2>&1 & exec 3<&- "$@"`;

export interface GroupOptions {
  /** Milliseconds until the group is ended and `deadline_exceeded` is thrown. */
  deadlineMs: number;
  signal?: AbortSignal;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Standard input, output and error. */
  stdio: readonly ["ignore" | "pipe", "ignore" | "pipe", "ignore" | "pipe"];
  /** Milliseconds between SIGTERM and SIGKILL: the time the program may take to clean up after itself. */
  graceMs?: number;
  /** Also end the group when this process dies without a chance to do it, kill -9 included. */
  tether?: boolean;
}

export interface GroupOutcome {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ProgramGroup {
  readonly child: ChildProcess;
  /**
   * Settles when the leader has ended, its whole group is gone and its output has been read. Rejects when it was
   * stopped, cancelled, late or could not be started.
   */
  readonly ended: Promise<GroupOutcome>;
  /** Ends the group: SIGTERM, then SIGKILL after the grace. `ended` rejects with `why`. */
  stop(why: PyroError): void;
}

/** Starts `file` as the leader of a process group of its own. */
export function startGroup(file: string, args: readonly string[], options: GroupOptions): ProgramGroup {
  const { graceMs = TERM_GRACE_MS } = options;
  const [program, ...words] =
    options.tether === true
      ? ["/bin/sh", "-c", TETHER, String(Math.ceil(graceMs / 1000)), file, ...args]
      : [file, ...args];
  const stdio = [...options.stdio, ...(options.tether === true ? ["pipe" as const] : [])];
  const child = startProgram(program ?? file, words, { ...options, stdio, detached: true });
  let failure: PyroError | undefined;
  let killTimer: NodeJS.Timeout | undefined;
  const stop = (why: PyroError): void => {
    failure ??= why;
    signalGroup(child, "SIGTERM");
    killTimer ??= setTimeout(() => signalGroup(child, "SIGKILL"), graceMs);
  };
  const deadline = setTimeout(() => {
    stop(new PyroError("deadline_exceeded", `${file} did not end within ${Math.round(options.deadlineMs / 1000)} s`));
  }, options.deadlineMs);
  const onAbort = (): void => stop(new PyroError("cancelled", `${file} was cancelled`));
  if (options.signal?.aborted === true) onAbort();
  options.signal?.addEventListener("abort", onAbort, { once: true });
  const ended = waitForGroup(child, file)
    .then((outcome) => {
      if (failure !== undefined) throw failure;
      return outcome;
    })
    .finally(() => {
      clearTimeout(deadline);
      clearTimeout(killTimer);
      options.signal?.removeEventListener("abort", onAbort);
    });
  // Whoever waits for `ended` sees the failure; until then it must not count as unhandled.
  ended.catch(() => undefined);
  return { child, ended, stop };
}

async function waitForGroup(child: ChildProcess, file: string): Promise<GroupOutcome> {
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const outcome = await new Promise<GroupOutcome>((resolve, reject) => {
    child.once("error", (cause) => reject(startFailure(file, cause)));
    // "exit", not "close": what the leader left behind may hold the pipes, and has to be ended first.
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  await endStragglers(child);
  // Nobody writes any more, so only what is in the pipes is still to be read, if it is read at all.
  const unread = new PyroError("internal", `the output of ${file} was not read`);
  await withDeadline(closed, KILL_DEADLINE_MS, () => unread).catch(() => {
    child.stdout?.destroy();
    child.stderr?.destroy();
  });
  return outcome;
}

/** Kills what is left of the group and waits until it is gone, so that nothing writes after we return. */
async function endStragglers(child: ChildProcess): Promise<void> {
  for (let waitedMs = 0; signalGroup(child, "SIGKILL"); waitedMs += POLL_MS) {
    if (!(await hasLivingMember(child.pid ?? 0))) return;
    if (waitedMs > KILL_DEADLINE_MS) throw new PyroError("internal", `process group ${child.pid} cannot be ended`);
    await sleep(POLL_MS);
  }
}

/** Zombies do not count: where nobody reaps orphans (many containers), they stay. */
async function hasLivingMember(group: number): Promise<boolean> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(
    pids.map(async (pid) => await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "")),
  );
  return stats.some((stat) => {
    // Fields 3 and 5 of proc_pid_stat(5), counted from after the name: state and process group.
    const [state, , pgrp] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(pgrp) === group && state !== "Z" && state !== "X";
  });
}

/** Whether there was a group to signal. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): boolean {
  if (child.pid === undefined) return false;
  try {
    process.kill(-child.pid, signal);
    return true;
  } catch (failure) {
    if (isErrno(failure, "ESRCH")) return false;
    throw failure;
  }
}
