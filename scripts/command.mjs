/** How the scripts start programs. */
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { ROOT } from "./project.mjs";
import { Refusal } from "./terminal.mjs";

/** Debian leaves these out of a plain user's PATH, and some tools live only there. */
const SYSTEM_DIRECTORIES = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** The absolute path of a program, or undefined when it is not installed. */
export function findProgram(name, path = process.env.PATH ?? "") {
  return [...path.split(delimiter), ...SYSTEM_DIRECTORIES]
    .filter((directory) => directory !== "")
    .map((directory) => join(directory, name))
    .find((candidate) => isExecutable(candidate));
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A program's stdout, or undefined when it could not be run or failed. */
export function capture(file, args, options = {}) {
  const result = spawnSync(file, args, { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], ...options });
  return result.status === 0 ? result.stdout : undefined;
}

/**
 * Runs a program with its output on our terminal and gives its exit status (128 + n for a signal is not invented:
 * a signal gives 1). `onOutput` also gets the text, as it comes; `killWhen` kills it.
 *
 * @param {string} file
 * @param {readonly string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, onOutput?: (text: string) => void, stdin?: "ignore" | "inherit", killWhen?: AbortSignal }} options
 * @returns {Promise<number>}
 */
export async function run(file, args, { env, onOutput, stdin = "ignore", killWhen } = {}) {
  /** @type {"pipe" | "inherit"} */
  const output = onOutput === undefined ? "inherit" : "pipe";
  const child = spawn(file, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: [stdin, output, output],
  });
  killWhen?.addEventListener("abort", () => child.kill("SIGKILL"), { once: true });
  for (const [from, to] of /** @type {const} */ ([
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ])) {
    from?.on("data", (chunk) => {
      to.write(chunk);
      onOutput?.(chunk.toString());
    });
  }
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}

/**
 * As `run`, in a process that the kernel ends when this one is gone, whatever ended it.
 *
 * @param {Parameters<typeof run>[2]} options
 */
export async function runTied(file, args, options = {}) {
  const setpriv = findProgram("setpriv");
  if (setpriv === undefined) throw new Refusal("setpriv is not installed", "install util-linux");
  return await run(setpriv, ["--pdeathsig", "KILL", "--", file, ...args], options);
}

/**
 * As `run`, and refuses with the command line when it fails.
 *
 * @param {Parameters<typeof run>[2]} options
 */
export async function runChecked(file, args, options = {}) {
  const code = await run(file, args, options);
  if (code !== 0) throw new Refusal(`exit status ${code} of: ${commandLine(file, args)}`);
}

/** A command as one can paste it. */
export function commandLine(file, args) {
  return [file, ...args]
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(" ");
}
