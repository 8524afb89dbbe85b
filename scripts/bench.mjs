/**
 * `npm run bench`: measures every figure of docs/performance.md that this host can show, each as a ratio against a baseline of
 * the same run; `npm run bench -- --nested` those of Firecracker, in the nested machine.
 */
import { build } from "./build.mjs";
import { run, runTied } from "./command.mjs";
import { COMPILED, inProject, tool } from "./project.mjs";
import { setUp } from "./setup/setup.mjs";
import { makeSandbox } from "./suite/sandbox.mjs";
import { Refusal, runEntry } from "./terminal.mjs";
import { join } from "node:path";

await runEntry(async (words) => {
  const nested = words.length === 1 && words[0] === "--nested";
  const isPart = words.length === 1 && ["workspaces", "seeds", "copies", "diffs", "volume"].includes(words[0] ?? "");
  if (words.length > 0 && !nested && !isPart)
    throw new Refusal(
      `not understood: ${words.join(" ")}`,
      "npm run bench [-- --nested | workspaces | seeds | copies | diffs | volume]",
    );
  await setUp(["build", "lint", "run", "pull", "workspace", ...(nested ? ["test"] : [])]);
  await build();
  const compiled = await run(tool("tsc"), ["--project", inProject("tsconfig.json")]);
  if (compiled !== 0) return compiled;
  const sandbox = makeSandbox();
  // Ctrl-C ends what was started; what is left of it is removed below.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => undefined);
  try {
    const env = { ...process.env, ...sandbox.env };
    const program = join(COMPILED, "bench", nested ? "nested.js" : "main.js");
    return await runTied(process.execPath, ["--disable-warning=ExperimentalWarning", program, ...words], { env });
  } finally {
    sandbox.remove();
  }
});
