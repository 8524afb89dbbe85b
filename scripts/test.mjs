/**
 * `npm test`: installs what is missing, builds, and runs the whole suite; `npm test -- unit` or `npm test -- scope` runs
 * the stages and test files of that name. The last line is `N passed, N failed`, whatever happens before it.
 */
import { build } from "./build.mjs";
import { buildTestAgent } from "./build/programs.mjs";
import { setUp } from "./setup/setup.mjs";
import { runStages } from "./suite/run-stages.mjs";
import { makeSandbox } from "./suite/sandbox.mjs";
import { select } from "./suite/stages.mjs";
import { Tally } from "./suite/tally.mjs";
import { allTestFiles } from "./suite/test-files.mjs";
import { printFailure, runEntry, say, seconds } from "./terminal.mjs";

await runEntry(async (words) => {
  const start = performance.now();
  const tally = new Tally();
  try {
    await runSuite(words, tally);
  } catch (failure) {
    printFailure(failure);
    tally.fail("setup", "npm test", failure instanceof Error ? failure.message : failure);
  }
  say("test", `took ${seconds(performance.now() - start)}`);
  process.stdout.write(`${tally.summary()}\n`);
  return tally.failures.length === 0 ? 0 : 1;
});

async function runSuite(words, tally) {
  const { stages, only } = select(words, allTestFiles());
  const needs = new Set(stages.flatMap((stage) => stage.needs ?? []));
  const rust = needs.has("dist") || stages.some((stage) => stage.rust === true);
  await setUp([
    ...(rust ? ["build", "lint"] : []),
    ...(needs.has("guests") ? ["run", "pull", "workspace", "test"] : []),
  ]);
  if (needs.has("dist")) await build();
  if (needs.has("test-agent")) await buildTestAgent();
  const sandbox = makeSandbox();
  const durations = await runStages(stages, { only, sandbox, tally });
  if (words.length === 0) everyFileRan(tally);
  if (tally.failures.length === 0) sandbox.remove();
  else say("test", `what the failed tests left is in ${sandbox.root}`);
  for (const { name, duration, ok } of durations)
    say("test", `${name.padEnd(14)} ${ok ? "ok    " : "FAILED"} ${duration}`);
}

/** A test that no stage runs protects nothing, and looks as if it did. */
function everyFileRan(tally) {
  for (const path of allTestFiles().filter((each) => !tally.files.has(each))) {
    tally.fail("suite", path, "no stage ran a test of this file");
  }
}
