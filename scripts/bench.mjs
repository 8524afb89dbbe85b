/** `npm run bench`: measures every figure of docs/performance.md, each as a ratio against a baseline of the same run. */
import { build } from "./build.mjs";
import { run } from "./command.mjs";
import { COMPILED, DIST, inProject, tool } from "./project.mjs";
import { setUp } from "./setup/setup.mjs";
import { makeSandbox } from "./suite/sandbox.mjs";
import { runEntry } from "./terminal.mjs";
import { join } from "node:path";

await runEntry(async (words) => {
  await setUp(["build", "lint", "run", "pull"]);
  await build();
  const compiled = await run(tool("tsc"), ["--project", inProject("tsconfig.json")]);
  if (compiled !== 0) return compiled;
  const sandbox = makeSandbox();
  try {
    const env = {
      ...process.env,
      ...sandbox.env,
      // The compiled bench lies beside no agent or launcher of its own.
      PYRO_AGENT_PATH: join(DIST, "guest", "pyro-agent"),
      PYRO_LAUNCHER_PATH: join(DIST, "host", "pyro-launch"),
    };
    return await run(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", join(COMPILED, "bench", "main.js"), ...words],
      { env },
    );
  } finally {
    sandbox.remove();
  }
});
