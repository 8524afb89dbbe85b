/** What tests ask of a workspace by its name or id. */
import assert from "node:assert/strict";
import { PyroError } from "../../src/contract/error.ts";
import type { Pyro } from "../../src/sdk/pyro.ts";

/** For a script of a few commands, in the slowest machine that tests run in. */
const LIMIT_SECONDS = 600;

/** Runs a script that must succeed; its output. */
export async function sh(
  pyro: Pyro,
  workspace: string,
  command: string,
  options: { readonly user?: string } = {},
): Promise<string> {
  const result = await pyro.workspace.exec({ workspace, command, timeout_seconds: LIMIT_SECONDS, ...options });
  assert.equal(result.exit_code, 0, `${workspace}: ${command}: ${result.stdout}${result.stderr}`);
  return result.stdout;
}

/** Whether there is such a workspace, started or not. */
export async function exists(pyro: Pyro, workspace: string): Promise<boolean> {
  try {
    await pyro.workspace.status({ workspace });
    return true;
  } catch (failure) {
    if (PyroError.is(failure) && failure.code === "not_found") return false;
    throw failure;
  }
}
