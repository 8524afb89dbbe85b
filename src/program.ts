/** pyro with the words after its name: the command line, and the front ends that it starts. */
import { main } from "./cli/main.ts";

/** Runs the command and ends the process. */
export async function program(words: readonly string[]): Promise<void> {
  await main(words, {
    serveMcp: async (pyro, options) => await (await import("./mcp/serve.ts")).serveMcp(pyro, options),
  });
}
