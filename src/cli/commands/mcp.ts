/** `pyro mcp serve`. */
import type { CliCommand } from "../invocation.ts";

export const serve: CliCommand = async ({ pyro, input, interruption, frontEnds }) => {
  const allow = (input["allow_path"] ?? []) as readonly string[];
  await frontEnds.serveMcp(pyro, { allow, signal: interruption.signal });
  return 0;
};
