/** Runs the Rust tests and adds what cargo's test harness says to the tally. */
import { run } from "../command.mjs";

export async function runCargoTests(stage, tally) {
  let output = "";
  const code = await run("cargo", ["test", "--workspace", "--locked", "--quiet", "--", "--format=pretty"], {
    onOutput: (text) => (output += text),
  });
  const { passed, failed, skipped } = readHarnessOutput(output);
  tally.passed += passed;
  for (const { name, reason } of failed) tally.fail(stage, name, reason);
  tally.skips.push(...skipped.map((each) => ({ stage, ...each })));
  if (code !== 0 && failed.length === 0) tally.fail(stage, "cargo test", `exit status ${code}`);
  if (code === 0 && passed === 0) tally.fail(stage, "cargo test", "no test ran");
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
