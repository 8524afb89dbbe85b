/** What the tests with real guests share: the SDK against the suite's own directories, and looking for leftovers. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { pathToFileURL } from "node:url";
import { hostPaths, machineRuntimeDirectory } from "../../src/host/paths.ts";
import type * as Sdk from "../../src/index.ts";
import type { Pyro } from "../../src/sdk/pyro.ts";
import { STEPPING_SERVER } from "./step-orders.ts";

export const paths = hostPaths();

/** The CLI as users get it. */
export const CLI = join(process.cwd(), "dist", "bin.cjs");

/** The SDK as users get it: the built one, whose version is that of the built server. */
const built = (await import(pathToFileURL(join(process.cwd(), "dist", "index.js")).href)) as typeof Sdk;

/** A client for whoever closes it. */
export const newClient = (): Pyro => new built.Pyro();

/** The same with a server that takes orders (`step-orders.ts`). */
export const newSteppingClient = (): Pyro => new built.Pyro({ serverEntry: STEPPING_SERVER });

/** A client for a test file. When the file is over it is closed, and the server ends: it would count as left behind. */
export function client(): Pyro {
  const sdk = newClient();
  after(async () => {
    await sdk.server.stop({ force: true });
    sdk.close();
  });
  return sdk;
}

/** Ids of the machines whose directories are there. */
export function machineDirectories(): string[] {
  const parent = machineRuntimeDirectory(paths, "");
  return existsSync(parent) ? readdirSync(parent) : [];
}

/** Pids of VMMs that run in a machine's directory of this suite. */
export function vmmPids(): number[] {
  const parent = machineRuntimeDirectory(paths, "");
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .filter((pid) => {
      try {
        return (
          readlinkSync(`/proc/${pid}/cwd`).startsWith(parent) &&
          /^(qemu|firecracker)/.test(readFileSync(`/proc/${pid}/comm`, "utf8"))
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Waits until `condition` holds; there is no event for another process's end. @throws at the deadline */
export async function until(
  condition: () => boolean | Promise<boolean>,
  deadlineMs: number,
  what: string,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Runs the CLI to its end. */
export function pyro(...args: string[]): { stdout: string; stderr: string; code: number } {
  try {
    const stdout = execFileSync(process.execPath, [CLI, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    return { stdout, stderr: "", code: 0 };
  } catch (failure) {
    const { stdout, stderr, status } = failure as { stdout: string; stderr: string; status: number };
    return { stdout, stderr, code: status };
  }
}
