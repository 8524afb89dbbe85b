/** Runs compiled test files with node:test and adds what they found to the tally. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, runTied } from "../command.mjs";
import { inProject } from "../project.mjs";
import { compiledPath, sourceOf } from "./test-files.mjs";

/** Imports the test files it is given: Node 20 has no way of its own to run several in one process. */
const ONE_PROCESS = compiledPath("test/support/one-process.ts");

/**
 * `files` are relative to the checkout; a file that is not done after `timeoutSeconds` is ended and has failed. With
 * `oneProcess` that is the time for all of them together.
 */
export async function runNodeTests(stage, files, { concurrency, timeoutSeconds, oneProcess, env }, tally) {
  const folder = mkdtempSync(join(tmpdir(), "pyro-verdicts-"));
  const verdicts = join(folder, "verdicts.jsonl");
  const before = tally.failures.length;
  const compiled = files.map((path) => compiledPath(path));
  const code =
    oneProcess === true
      ? await runTied(process.execPath, [...nodeOptions(verdicts), ONE_PROCESS, ...compiled], {
          env,
          killWhen: AbortSignal.timeout(timeoutSeconds * 1000),
        })
      : await run(
          process.execPath,
          [
            ...nodeOptions(verdicts),
            ...["--test", `--test-concurrency=${concurrency}`, `--test-timeout=${timeoutSeconds * 1000}`],
            ...compiled,
          ],
          { env },
        );
  const lines = existsSync(verdicts)
    ? readFileSync(verdicts, "utf8")
        .split("\n")
        .filter((line) => line !== "")
    : [];
  for (const line of lines) count(stage, JSON.parse(line), tally);
  if (code !== 0 && tally.failures.length === before)
    tally.fail(stage, "node --test", `exit status ${code} without a failed test`);
  rmSync(folder, { recursive: true });
}

function nodeOptions(verdicts) {
  return [
    "--enable-source-maps",
    // Tests import src/doctor/requirements.json; Node 20 announces JSON modules as experimental on every file.
    "--disable-warning=ExperimentalWarning",
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    `--test-reporter=${inProject("scripts", "suite", "reporter.mjs")}`,
    `--test-reporter-destination=${verdicts}`,
  ];
}

function count(stage, { kind, file, name, reason }, tally) {
  const source = sourceOf(file);
  const title = name === file ? source : `${source}: ${name}`;
  if (kind === "failed") tally.fail(stage, title, reason);
  else tally.files.add(source);
  if (kind === "passed") tally.passed += 1;
  if (kind === "skipped") tally.skips.push({ stage, name: title, reason });
}
