/** `npm run bench`: measures every figure of docs/performance.md, each as a ratio against a baseline of the same run. */
import { build } from "./build.mjs";
import { run } from "./command.mjs";
import { COMPILED, inProject, tool } from "./project.mjs";
import { setUp } from "./setup/setup.mjs";
import { makeSandbox } from "./suite/sandbox.mjs";
import { runEntry } from "./terminal.mjs";
import { join } from "node:path";

await runEntry(async (words) => {
  await setUp(["build", "lint", "run", "pull", "workspace"]);
  await build();
  const compiled = await run(tool("tsc"), ["--project", inProject("tsconfig.json")]);
  if (compiled !== 0) return compiled;
  const sandbox = makeSandbox();
  try {
    const env = { ...process.env, ...sandbox.env };
    return await run(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", join(COMPILED, "bench", "main.js"), ...words],
      { env },
    );
  } finally {
    sandbox.remove();
  }
});
