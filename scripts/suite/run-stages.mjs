/** Runs stages one after the other, with their output as it comes, and adds everything up. */
import { existsSync } from "node:fs";
import { commandLine, run } from "../command.mjs";
import { inProject } from "../project.mjs";
import { say, seconds } from "../terminal.mjs";
import { runCargoTests } from "./cargo-tests.mjs";
import { end, leftovers } from "./leftovers.mjs";
import { runNodeTests } from "./node-tests.mjs";
import { testFilesOf } from "./test-files.mjs";

/** `only`: the test files to run, when not all of them. Gives the stages' names with what they took. */
export async function runStages(stages, { only, sandbox, tally }) {
  const durations = [];
  for (const stage of stages) {
    const start = performance.now();
    const failuresBefore = tally.failures.length;
    say("test", `${stage.name} …`);
    await runStage(stage, { only, sandbox, tally });
    await checkLeftovers(stage, sandbox, tally);
    const duration = seconds(performance.now() - start);
    const failed = tally.failures.length - failuresBefore;
    say("test", `${stage.name}: ${failed === 0 ? "ok" : `${failed} failed`} (${duration})`);
    durations.push({ name: stage.name, duration, ok: failed === 0 });
    // Nothing that could be run was compiled.
    if (stage.name === "types" && failed > 0) break;
  }
  return durations;
}

async function runStage(stage, { only, sandbox, tally }) {
  if (stage.cargo === true) return await runCargoTests(stage.name, tally);
  if (stage.command === undefined) return await runTestFolder(stage, { only, sandbox, tally });
  const [file, ...args] = stage.command;
  const code = await run(file, args);
  if (code === 0) tally.passed += 1;
  else tally.fail(stage.name, commandLine(file.split("/").at(-1), args), `exit status ${code}`);
}

async function runTestFolder(stage, { only, sandbox, tally }) {
  const files = testFilesOf(stage.name).filter((path) => only === undefined || only.has(path));
  if (files.length === 0) {
    const state = existsSync(inProject("test", stage.name)) ? "has no test file" : "does not exist";
    tally.fail(stage.name, `test/${stage.name}`, state);
    return;
  }
  await runNodeTests(stage.name, files, { ...stage, env: sandbox.env }, tally);
}

async function checkLeftovers(stage, sandbox, tally) {
  const left = await leftovers(sandbox.root);
  for (const { pid, command } of left) tally.fail(stage.name, `process ${pid} was left behind`, command);
  end(left);
}
