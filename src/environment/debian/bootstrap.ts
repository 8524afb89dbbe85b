/** Builds a Debian system with mmdebstrap and gives it as a tar stream. */
import { join } from "node:path";
import type { Readable } from "node:stream";
import { PyroError } from "../../contract/error.ts";
import { type ProgramGroup, startGroup } from "../../host/process-group.ts";
import type { EnvironmentDefinition } from "../definition.ts";
import { SOURCE_DATE_EPOCH } from "../rootfs-image.ts";
import { aptFailure, noSpace } from "./apt-run.ts";
import { type AptRoot, archivesDirectory } from "./apt-root.ts";
import { customizeHooks, setupHooks } from "./hooks.ts";

/** The largest environment takes two minutes on two busy cores. */
const DEADLINE_MS = 30 * 60 * 1000;
/** Its mounts and processes end with its namespaces, and the tree is removed by us: there is nothing to wait for. */
const GRACE_MS = 0;
const KEPT_OUTPUT_CHARS = 64 * 1024;
/** Beginnings of mmdebstrap's own lines, in their order, and what they mean in a word. */
const STEPS = [
  ["extracting archives", "extract"],
  ["installing essential packages", "install"],
  ["cleaning package lists", "clean up"],
] as const;

export interface BootstrapOptions {
  readonly definition: EnvironmentDefinition;
  readonly root: AptRoot;
  /** Number of packages that will be installed, for the percentage. */
  readonly packageCount: number;
  /** Private directory for what the build writes beside the tar stream. */
  readonly workDirectory: string;
  /** Directory for the unpacked system; see `createBuildDirectory`. */
  readonly buildDirectory: string;
  readonly signal: AbortSignal;
  readonly onPercent: (percent: number, step: string) => void;
}

export interface Bootstrap {
  /** The finished system as an uncompressed pax tar, starting when the last package is configured. */
  readonly tar: Readable;
  /** Settles when mmdebstrap has ended; rejects with what went wrong. */
  readonly ended: Promise<void>;
  readonly stop: ProgramGroup["stop"];
}

/** Where mmdebstrap leaves the list of installed packages, inside `workDirectory`. */
export const packageListPath = (workDirectory: string): string => join(workDirectory, "packages.tsv");

/**
 * Starts mmdebstrap. Read `tar` to its end, then await `ended`.
 *
 * The unshare mode is right for root too: it then only leaves out the user namespace. Mounts and processes are in
 * namespaces of their own, so that ending the build at any moment ends all of them, and no mount of the host's /dev or
 * /sys is left in a tree that is about to be removed.
 */
export function startBootstrap(options: BootstrapOptions): Bootstrap {
  const { definition, root } = options;
  const args = [
    "--verbose",
    "--mode=unshare",
    "--variant=minbase",
    "--format=tar",
    "--architectures=amd64",
    ...(definition.packages.length === 0 ? [] : [`--include=${definition.packages.join(",")}`]),
    ...setupHooks(archivesDirectory(root), join(root.directory, "state", "lists")).map(
      (hook) => `--setup-hook=${hook}`,
    ),
    ...customizeHooks(definition.suite, packageListPath(options.workDirectory)).map(
      (hook) => `--customize-hook=${hook}`,
    ),
    definition.suite,
    "-",
    ...root.sourceLines,
  ];
  const group = startGroup("mmdebstrap", args, {
    deadlineMs: DEADLINE_MS,
    graceMs: GRACE_MS,
    signal: options.signal,
    stdio: ["ignore", "pipe", "pipe"],
    // The namespace's root cannot enter our private directories, and some programs insist on returning to where they began.
    cwd: "/",
    tether: true,
    env: { ...root.env, SOURCE_DATE_EPOCH: String(SOURCE_DATE_EPOCH), TMPDIR: options.buildDirectory },
  });
  const log = followLog(group, options);
  const ended = group.ended.then(({ code }) => {
    if (code !== 0) throw bootstrapFailure(definition.name, log(), code);
  });
  ended.catch(() => undefined);
  if (group.child.stdout === null) throw new PyroError("internal", "mmdebstrap has no standard output");
  return { tar: group.child.stdout, ended, stop: (why) => group.stop(why) };
}

/** Counts the two events each package has, "Unpacking" and "Setting up", and keeps the end of the log. */
function followLog(group: ProgramGroup, options: BootstrapOptions): () => string {
  let log = "";
  let partialLine = "";
  let events = 0;
  let shown = "";
  group.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-KEPT_OUTPUT_CHARS);
    const lines = (partialLine + text).split("\n");
    partialLine = lines.pop() ?? "";
    events += lines.filter((line) => /^(Unpacking|Setting up) /.test(line)).length;
    const percent = Math.min(100, Math.floor((events * 100) / (2 * Math.max(1, options.packageCount))));
    const step = STEPS.findLast(([prefix]) => log.includes(`I: ${prefix}`))?.[1] ?? "set up";
    if (shown === `${percent} ${step}`) return;
    shown = `${percent} ${step}`;
    options.onPercent(percent, step);
  });
  return () => log;
}

function bootstrapFailure(name: string, log: string, code: number | null): PyroError {
  if (/No space left on device/.test(log)) return noSpace({ command: "mmdebstrap", stderr: log.slice(-2048) });
  const failure = aptFailure(`building ${name} with mmdebstrap`, log, code);
  return new PyroError(failure.code, failure.message, {
    cause: log.split("\n").find((line) => line.startsWith("E: ")) ?? failure.cause,
    evidence: failure.evidence,
    ...(failure.remedy === undefined ? {} : { remedy: failure.remedy }),
  });
}
