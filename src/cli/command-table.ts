import { EXTRA_COMMANDS } from "./commands.ts";
import type { CommandDescription } from "./description.ts";

/**
 * What `describeCommands()` gives, as JSON, put in by the build (scripts/build/bundles.mjs): a call need not load and
 * build all schemas to read its flags, which is half of what the CLI would cost. Absent when the sources run unbundled.
 */
declare const PYRO_BUILD_COMMANDS: string | undefined;

/** Every command: the operations, then the few that are none. */
export async function commandTable(): Promise<readonly CommandDescription[]> {
  return [...(await operationCommands()), ...EXTRA_COMMANDS];
}

async function operationCommands(): Promise<readonly CommandDescription[]> {
  if (typeof PYRO_BUILD_COMMANDS === "string") return JSON.parse(PYRO_BUILD_COMMANDS) as CommandDescription[];
  const { describeCommands } = await import("./description.ts");
  return describeCommands();
}
