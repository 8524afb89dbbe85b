/** Runs apt's programs on a private apt root. */
import { join } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { startGroup } from "../../host/process-group.ts";
import { runProgram } from "../../host/process.ts";
import type { AptRoot } from "./apt-root.ts";

/** A slow line: 200 MB at 300 kB/s. */
const DEADLINE_MS = 15 * 60 * 1000;
const CONFIG_DEADLINE_MS = 10_000;
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/** The environment for programs of the host's distribution: root's tools are found, messages are in English. */
export function toolEnvironment(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const path = env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin";
  return {
    ...env,
    PATH: `${path}:/usr/local/sbin:/usr/sbin:/sbin`,
    LC_ALL: "C.UTF-8",
    DEBIAN_FRONTEND: "noninteractive",
  };
}

/** As `toolEnvironment`, with the proxies of the host's apt configuration where `env` names none. */
export async function aptEnvironment(env: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
  const tools = toolEnvironment(env);
  const words = ["http_proxy", "Acquire::http::Proxy", "https_proxy", "Acquire::https::Proxy"];
  const asked = await runProgram("apt-config", ["shell", ...words], { deadlineMs: CONFIG_DEADLINE_MS, env: tools });
  return { ...proxiesOf(asked.stdout), ...tools };
}

/** Output of `apt-config shell`: lines such as `http_proxy='http://proxy:3128'`. DIRECT is apt's word for none. */
export function proxiesOf(shell: string): Record<string, string> {
  const pairs = [...shell.matchAll(/^(https?_proxy)='([^']+)'$/gm)].map(
    ([, name = "", value = ""]) => [name, value] as const,
  );
  return Object.fromEntries(pairs.filter(([, value]) => value !== "DIRECT"));
}

/** Runs one apt program and gives its standard output. */
export async function runApt(
  root: AptRoot,
  args: readonly string[],
  program: "apt-get" | "apt-cache" = "apt-get",
  options: { cwd?: string; onPercent?: (percent: number) => void } = {},
): Promise<string> {
  const group = startGroup(program, args, {
    deadlineMs: DEADLINE_MS,
    signal: root.signal,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...root.env, APT_CONFIG: join(root.directory, "apt.conf") },
    cwd: options.cwd ?? root.directory,
  });
  let output = "";
  let errors = "";
  group.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    const percent = lastPercent(text);
    if (percent !== undefined) options.onPercent?.(percent);
    if (output.length < OUTPUT_BYTES_MAX) output += text;
  });
  group.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-8192);
  });
  const outcome = await group.ended;
  if (outcome.code === 0) return output;
  throw aptFailure(`${program} ${args[0] ?? ""}`, errors, outcome.code);
}

/** `dlstatus:<item>:<percent>:<text>`: apt's status protocol (apt's README.progress-reporting). */
function lastPercent(text: string): number | undefined {
  const all = [...text.matchAll(/^dlstatus:[^:\n]*:([\d.]+):/gm)];
  const last = all.at(-1)?.[1];
  return last === undefined ? undefined : Number(last);
}

/** Types a failure by what apt said; apt has one exit status for everything. */
export function aptFailure(what: string, errors: string, code: number | null): PyroError {
  const evidence = { command: what, exit: code ?? "signal", stderr: errors.slice(-4096) };
  const lines = errors.split("\n").filter((line) => /^(E|W|Err):?/.test(line));
  const cause = lines.join("; ") || errors.trim().split("\n").at(-1);
  const missing = /Unable to locate package (\S+)/.exec(errors)?.[1];
  if (missing !== undefined) {
    return new PyroError("invalid_argument", `Debian has no package named ${missing}`, {
      remedy: "correct the environment's `packages`",
      evidence,
    });
  }
  if (/unmet dependencies|held broken packages/.test(errors)) {
    return new PyroError("invalid_argument", "these packages cannot be installed together", { cause, evidence });
  }
  if (/No space left on device/.test(errors)) return noSpace(evidence);
  if (/NO_PUBKEY|not signed|signatures couldn't be verified|BADSIG|EXPKEYSIG/.test(errors)) {
    return new PyroError("environment_failed", "the package archive's signature could not be verified", {
      cause,
      evidence,
      remedy: "install the current debian-archive-keyring package, or choose another mirror with PYRO_DEBIAN_MIRROR",
    });
  }
  return new PyroError("environment_failed", `${what} failed`, {
    cause,
    evidence,
    remedy: "check that the package mirror can be reached (proxy: http_proxy, https_proxy; mirror: PYRO_DEBIAN_MIRROR)",
  });
}

export function noSpace(evidence: Readonly<Record<string, string | number>>): PyroError {
  return new PyroError("resource_exhausted", "the disk is full", {
    evidence,
    remedy: "free some space, or move the cache with PYRO_CACHE_DIR and build files with TMPDIR",
  });
}
