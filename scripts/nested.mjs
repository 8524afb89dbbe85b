/**
 * `npm run test:nested`: the suite's stage with a machine whose KVM works. `npm run test:nested -- --shell COMMAND` runs one
 * shell command in such a machine, with what is built of this checkout, and ends it; its exit status is the command's.
 */
import { join } from "node:path";
import { build } from "./build.mjs";
import { run, runTied } from "./command.mjs";
import { COMPILED, inProject, tool } from "./project.mjs";
import { setUp } from "./setup/setup.mjs";
import { makeSandbox } from "./suite/sandbox.mjs";
import { Refusal, runEntry } from "./terminal.mjs";

await runEntry(async ([option, ...words]) => {
  if (option === undefined) return await run(process.execPath, [inProject("scripts", "test.mjs"), "nested"]);
  if (option !== "--shell" || words.length !== 1)
    throw new Refusal(`not understood: ${[option, ...words].join(" ")}`, "npm run test:nested -- --shell 'COMMAND'");
  await setUp(["build", "run", "pull", "workspace", "test"]);
  await build();
  const compiled = await run(tool("tsc"), ["--project", inProject("tsconfig.json")]);
  if (compiled !== 0) return compiled;
  const sandbox = makeSandbox();
  // Ctrl-C ends the command's machine; what is left of it is removed below.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => undefined);
  try {
    return await runTied(
      process.execPath,
      ["--enable-source-maps", join(COMPILED, "test", "nested", "shell.js"), ...words],
      {
        env: sandbox.env,
      },
    );
  } finally {
    sandbox.remove();
  }
});
