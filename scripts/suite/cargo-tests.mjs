/** Runs the Rust tests and adds what cargo's test harness says to the tally. */
import { run } from "../command.mjs";
import { clearAway, isHere } from "./cargo-needs.mjs";

export async function runCargoTests(stage, tally) {
  const { skipped: ignored } = await runHarness([], stage, tally);
  const { due, skipped } = dueHere(ignored, isHere);
  tally.skips.push(...skipped.map((each) => ({ stage, ...each })));
  if (due.length === 0) return;
  // By their names: what else is ignored stays so.
  await runHarness(["--ignored", "--exact", ...due], stage, tally);
  clearAway();
}

/** Runs those of these names alone; that one is not there is a failure. */
export async function runCargoTestsCalled(names, stage, tally) {
  const { ran } = await runHarness(["--exact", ...names], stage, tally);
  if (ran !== names.length) tally.fail(stage, "cargo test", `of ${names.length} tests ${ran} ran: ${names.join(" ")}`);
}

/** Runs what the words select; gives the tests that were ignored, with their reasons, and how many were not. */
async function runHarness(words, stage, tally) {
  let output = "";
  const code = await run("cargo", ["test", "--workspace", "--locked", "--quiet", "--", "--format=pretty", ...words], {
    onOutput: (text) => (output += text),
  });
  const { passed, failed, skipped } = readHarnessOutput(output);
  tally.passed += passed;
  for (const { name, reason } of failed) tally.fail(stage, name, reason);
  if (code !== 0 && failed.length === 0) tally.fail(stage, "cargo test", `exit status ${code}`);
  if (code === 0 && passed === 0) tally.fail(stage, "cargo test", "no test ran");
  return { skipped, ran: passed + failed.length };
}

/**
 * Of the tests that were ignored, the names of those that can run here after all, and the others.
 *
 * @public tested in test/contract/suite.test.ts
 */
export function dueHere(ignored, isMet) {
  const here = new Set([...new Set(ignored.map(({ reason }) => reason))].filter(isMet));
  return {
    due: ignored.filter(({ reason }) => here.has(reason)).map(({ name }) => name),
    skipped: ignored.filter(({ reason }) => !here.has(reason)),
  };
}

/**
 * Reads lines such as `test exec::reaps ... ok` and `test x ... ignored, needs root`.
 *
 * @public tested in test/contract/suite.test.ts
 */
export function readHarnessOutput(output) {
  const verdicts = [...output.matchAll(/^test (.+?) \.\.\. (ok|FAILED|ignored)(?:, (.+))?$/gm)].map(
    ([, name, verdict, reason]) => ({ name, verdict, reason }),
  );
  const silent = verdicts.filter(({ verdict, reason }) => verdict === "ignored" && reason === undefined);
  return {
    passed: verdicts.filter(({ verdict }) => verdict === "ok").length,
    failed: [
      ...verdicts.filter(({ verdict }) => verdict === "FAILED").map(({ name }) => ({ name, reason: "failed" })),
      ...silent.map(({ name }) => ({ name, reason: "ignored without a reason" })),
    ],
    skipped: verdicts
      .filter(({ verdict, reason }) => verdict === "ignored" && reason !== undefined)
      .map(({ name, reason }) => ({ name, reason })),
  };
}
