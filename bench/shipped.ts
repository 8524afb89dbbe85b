/** pyro as it is shipped: its command line as whole programs, and its SDK, which is of the same build as its server. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type * as Sdk from "../src/index.ts";
import type { Pyro } from "../src/sdk/pyro.ts";

export const CLI = join(process.cwd(), "dist", "bin.cjs");
const READY_DEADLINE_MS = 60_000;
const LOOK_AGAIN_MS = 20;

export async function shippedClient(): Promise<Pyro> {
  const { Pyro: Client } = (await import(pathToFileURL(join(process.cwd(), "dist", "index.js")).href)) as typeof Sdk;
  return new Client();
}

/** Milliseconds of a whole program of Node's, which must succeed. */
export function programMs(args: readonly string[]): number {
  const start = performance.now();
  const { status, stderr } = spawnSync(process.execPath, [...args], {
    stdio: ["ignore", "ignore", "pipe"],
    encoding: "utf8",
  });
  const elapsed = performance.now() - start;
  if (status !== 0) throw new Error(`${args.join(" ")} ended with ${status}: ${stderr}`);
  return elapsed;
}

/** A person or an agent leaves a moment between two runs; the machine kept ready is made in it. */
export async function machineIsReady(pyro: Pyro): Promise<void> {
  const end = performance.now() + READY_DEADLINE_MS;
  while (performance.now() < end) {
    if ((await pyro.server.status()).ready_machines > 0) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
  throw new Error("no machine was made ready");
}
