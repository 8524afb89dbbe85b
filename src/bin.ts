#!/usr/bin/env node
import { VERSION } from "./contract/version.ts";

// Asked often, by scripts: answered before anything else is loaded.
if (process.argv.length === 3 && (process.argv[2] === "--version" || process.argv[2] === "-V")) {
  process.stdout.write(`pyro ${VERSION}\n`);
} else {
  const { main } = await import("./cli/main.ts");
  await main(process.argv.slice(2), {
    serveMcp: async (pyro, signal) => await (await import("./mcp/serve.ts")).serveMcp(pyro, signal),
  });
}
