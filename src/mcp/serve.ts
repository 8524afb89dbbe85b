import { serveStdio } from "@modelcontextprotocol/server/stdio";
import type { Pyro } from "../sdk/pyro.ts";
import { AllowedPaths } from "./allowed-paths.ts";
import { makeMcpServer } from "./tools.ts";

/**
 * Serves MCP on standard input and output until the host closes them or `signal` is aborted. Calls may name paths of the host below the
 * working directory and below `allow`.
 * @throws PyroError invalid_argument for a directory that is not there
 */
export async function serveMcp(
  pyro: Pyro,
  { allow, signal }: { allow: readonly string[]; signal: AbortSignal },
): Promise<void> {
  const allowed = await AllowedPaths.of(allow);
  const handle = serveStdio(() => makeMcpServer(pyro, allowed), {
    onerror: (failure) => process.stderr.write(`[mcp] ${failure.message}\n`),
  });
  await new Promise<void>((resolve) => {
    process.stdin.once("end", resolve);
    process.stdin.once("close", resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await handle.close();
}
