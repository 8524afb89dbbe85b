/** Which QEMU there is: found by PYRO_QEMU or PATH, asked for its version, refused when it is too old. */
import { stat } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { PyroError } from "../../contract/error.ts";
import { runProgram } from "../../host/process.ts";
import { executable, findProgram, isAtLeast } from "../program.ts";

export const QEMU_PROGRAM = "qemu-system-x86_64";

/**
 * The oldest QEMU that is accepted. `microvm` with ACPI would be in 5.2 and `x-ignore-shared` in 3.1; 7.2 is the first
 * whose TCG has AVX2 (x86-64-v3, which compiled software more and more takes for granted), it is the oldest in a
 * supported Debian (12), and all that pyro says of QEMU was measured with 7.2 or newer.
 */
export const QEMU_MINIMUM = "7.2";

/** `qemu --version` takes 15 ms, in a nested machine 2 s; a host that swaps needs longer. */
const VERSION_DEADLINE_MS = 15_000;

export interface QemuProgram {
  /** Absolute path. */
  readonly path: string;
  /** For example "7.2.22". */
  readonly version: string;
  /** Changes when the file is replaced: what was learnt of the old one is not true of the new one. */
  readonly fileIdentity: string;
}

/**
 * The QEMU that pyro uses.
 * @throws PyroError dependency_missing when there is none, when it does not run, or when it is older than QEMU_MINIMUM
 */
export async function findQemu(env: NodeJS.ProcessEnv = process.env): Promise<QemuProgram> {
  const path = await locate(env);
  const file = await stat(path);
  const fileIdentity = `${file.dev}:${file.ino}:${file.size}:${file.mtimeMs}`;
  const version = await versionOf(path, fileIdentity);
  if (!isAtLeast(version, QEMU_MINIMUM)) {
    throw new PyroError("dependency_missing", `${path} is QEMU ${version}, and pyro needs ${QEMU_MINIMUM} or newer`, {
      remedy: `install QEMU ${QEMU_MINIMUM} or newer, or set PYRO_QEMU to one`,
      evidence: { path, found: version, needed: QEMU_MINIMUM },
    });
  }
  return { path, version, fileIdentity };
}

/** Versions by path and file: asking takes QEMU some 30 ms, and a server looks for it at every start of a machine. */
const knownVersions = new Map<string, string>();

async function versionOf(path: string, fileIdentity: string): Promise<string> {
  const key = `${path} ${fileIdentity}`;
  const version = knownVersions.get(key) ?? (await askVersion(path));
  knownVersions.set(key, version);
  return version;
}

async function locate(env: NodeJS.ProcessEnv): Promise<string> {
  const named = env["PYRO_QEMU"];
  if (named !== undefined && named !== "") {
    const path = isAbsolute(named) ? await executable(named) : await findProgram(named, env["PATH"]);
    if (path !== undefined) return path;
    throw new PyroError("dependency_missing", `PYRO_QEMU names ${named}, which is not a program here`, {
      remedy: "set PYRO_QEMU to the absolute path of qemu-system-x86_64, or unset it",
    });
  }
  const path = await findProgram(QEMU_PROGRAM, env["PATH"]);
  if (path !== undefined) return path;
  throw new PyroError("dependency_missing", `${QEMU_PROGRAM} is not installed`, {
    remedy: "run `pyro doctor` to see the command that installs it, or set PYRO_QEMU to the program",
  });
}

async function askVersion(path: string): Promise<string> {
  const remedy = "install QEMU again, or set PYRO_QEMU to one that runs";
  try {
    const { code, stdout, stderr } = await runProgram(path, ["--version"], { deadlineMs: VERSION_DEADLINE_MS });
    const version = parseQemuVersion(stdout);
    if (version !== undefined) return version;
    const words = (stderr.trim() || stdout.trim()).slice(-400);
    throw new PyroError("dependency_missing", `${path} does not say that it is QEMU`, {
      remedy,
      evidence: { exit: String(code), output: words },
    });
  } catch (cause) {
    if (PyroError.is(cause) && cause.code === "dependency_missing") throw cause;
    throw new PyroError("dependency_missing", `${path} does not run`, { cause, remedy });
  }
}

/** "8.2.2" of "QEMU emulator version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)"; undefined when the text is something else. */
export function parseQemuVersion(text: string): string | undefined {
  return /^QEMU emulator version v?(\d+\.\d+(?:\.\d+)?)/m.exec(text)?.[1];
}
