/**
 * How far this host lets a VMM be confined: found by doing it, once, with the launcher itself in the place of the VMM.
 * Where it does not allow everything, a VMM still gets all that works, and whoever asks is told what is missing and why.
 */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { ConfinementLevel } from "../contract/run.ts";
import { PyroError } from "../contract/error.ts";
import { ended, startProgram } from "../host/process.ts";

export interface Confinement {
  /** `full`: namespaces, a root of its own, and for root a user of its own; `reduced`: without these. */
  readonly level: ConfinementLevel;
  /** What the kernel said to the first thing that did not work; null when all does. */
  readonly reason: string | null;
}

/** Making namespaces takes some milliseconds; the rest is for a loaded host. */
const PROBE_DEADLINE_MS = 10_000;
const REASON_CHARS_MAX = 300;

/**
 * Users of machines that root starts: 2^28 numbers that no distribution, no subordinate range of useradd (login.defs(5))
 * and no container of systemd's (524288 to 1879048191, its UIDS-GIDS document) uses.
 */
const MACHINE_USER_FIRST = 0x7000_0000;
const MACHINE_USER_BITS = 28;

/**
 * The user and group of the machine in `directory`, by the name of the machine's own directory above it, when this
 * process is root; a plain user's VMM stays that user.
 */
export function machineUser(directory: string): number | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const digest = createHash("sha256")
    .update(basename(dirname(directory)))
    .digest();
  return MACHINE_USER_FIRST + (digest.readUInt32BE(0) >>> (32 - MACHINE_USER_BITS));
}

/** Answers by launcher: what a host allows seldom changes while a process runs, and doctor is a new one each time. */
const answers = new Map<string, Promise<Confinement>>();

/** What can be had here, by this launcher. Never rejects for what the host refuses. */
export async function confinementHere(launcher: string): Promise<Confinement> {
  const answer = answers.get(launcher) ?? probeConfinement(launcher);
  answers.set(launcher, answer);
  // A probe that could not be made is made again.
  answer.catch(() => answers.delete(launcher));
  return await answer;
}

/** Confines the launcher itself as a VMM would be, and sees whether it runs. */
async function probeConfinement(launcher: string): Promise<Confinement> {
  const parent = await mkdtemp(join(tmpdir(), "pyro-jail-"));
  try {
    const directory = join(parent, "vmm");
    await mkdir(directory, { mode: 0o700 });
    const log = `${directory}.log`;
    const complaints = await open(log, "a", 0o600);
    const args = [
      ...["--log", log, ...jailArguments({ directory, readOnlyPaths: [launcher], writablePaths: [], devices: [] })],
      ...["--chdir", directory, "--drop-capabilities", "--no-new-privileges", "--", launcher, "--help"],
    ];
    const child = startProgram(launcher, args, { stdio: ["ignore", complaints.fd, complaints.fd], env: {} });
    // It has its own copy from the moment of the spawn.
    const end = ended(child, launcher, { deadlineMs: PROBE_DEADLINE_MS });
    // Awaited below; a launcher that is not there says so before.
    end.catch(() => undefined);
    await complaints.close();
    const { code, signal } = await end;
    if (code === 0) return { level: "full", reason: null };
    const words = (await readFile(log, "utf8")).trim().split("\n").at(-1) ?? "";
    const how = signal ?? `exit status ${code}`;
    return { level: "reduced", reason: (words.replace(/^pyro-launch: /, "") || how).slice(0, REASON_CHARS_MAX) };
  } catch (cause) {
    if (PyroError.is(cause)) throw cause;
    throw new PyroError("permission_denied", `no directory can be made in ${tmpdir()} to try confinement in`, {
      cause,
    });
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

export interface Jail {
  readonly directory: string;
  readonly readOnlyPaths: readonly string[];
  readonly writablePaths: readonly string[];
  readonly devices: readonly string[];
}

/** The launcher's options for namespaces, a root and a user of its own. */
export function jailArguments(jail: Jail): string[] {
  const user = machineUser(jail.directory);
  const each = (option: string, paths: readonly string[]): string[] => paths.flatMap((path) => [option, path]);
  return [
    ...["--namespaces", "--root"],
    ...each("--read-only", jail.readOnlyPaths),
    ...each("--writable", [jail.directory, ...jail.writablePaths]),
    ...each("--device", jail.devices),
    "--own-descriptors",
    ...(user === undefined ? [] : ["--user", String(user)]),
  ];
}
