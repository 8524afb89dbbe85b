/** `pyro mcp serve`. */
import type { CliCommand } from "../invocation.ts";

export const serve: CliCommand = async ({ pyro, interruption, frontEnds }) => {
  await frontEnds.serveMcp(pyro, interruption.signal);
  return 0;
};
