import { serveStdio } from "@modelcontextprotocol/server/stdio";
import type { Pyro } from "../sdk/pyro.ts";
import { makeMcpServer } from "./tools.ts";

/** Serves MCP on standard input and output until the host closes them or `signal` is aborted. */
export async function serveMcp(pyro: Pyro, signal: AbortSignal): Promise<void> {
  const handle = serveStdio(() => makeMcpServer(pyro), {
    onerror: (failure) => process.stderr.write(`[mcp] ${failure.message}\n`),
  });
  await new Promise<void>((resolve) => {
    process.stdin.once("end", resolve);
    process.stdin.once("close", resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await handle.close();
}
